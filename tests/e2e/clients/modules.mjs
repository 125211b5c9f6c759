// The npm packages that `./test` installed.
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const modules = join(dirname(fileURLToPath(import.meta.url)), "../../../.tests/npm/node_modules");

export const module = (path) => import(pathToFileURL(join(modules, path)));
