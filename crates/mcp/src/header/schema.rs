//! Finding the `x-mcp-header` annotations of an `inputSchema`.

use http::HeaderName;

use crate::{HeaderFault, HeaderParam, Json, Kind};

const ANNOTATION: &str = "x-mcp-header";
/// More annotations than a request could carry headers.
const MOST: usize = 64;
/// Nesting of schemas. A schema is two levels of JSON, so the default reading allows no more than half of this.
const DEEPEST: usize = 64;

/// All annotations of an `inputSchema`. A fault means that the whole tool must be dropped by an HTTP client.
///
/// An annotation counts only at a chain of `properties` from the root; anywhere else that a schema can stand it
/// is a fault. Data (`default`, `const`, `enum`, `examples`) and unknown keywords are not looked into.
pub fn header_params(input_schema: Json<'_>) -> Result<Vec<HeaderParam>, HeaderFault> {
    let mut search = Search { path: Vec::new(), depth: 0, found: Vec::new() };
    search.schema(input_schema, Place::Root)?;
    Ok(search.found)
}

/// Where a schema stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind anything but `properties`.
    Elsewhere,
    /// At the end of a chain of `properties`.
    Property,
    Root,
}

struct Search {
    path: Vec<String>,
    depth: usize,
    found: Vec<HeaderParam>,
}

impl Search {
    fn schema(&mut self, schema: Json<'_>, place: Place) -> Result<(), HeaderFault> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(HeaderFault::Annotation("the schema is nested too deeply to be searched"));
        }
        for (keyword, value) in schema.members() {
            match &*keyword {
                ANNOTATION if place == Place::Property => self.annotation(schema, value)?,
                ANNOTATION => return Err(HeaderFault::Annotation("not at a chain of properties")),
                "properties" if place != Place::Elsewhere => self.properties(value)?,
                other => self.elsewhere(other, value)?,
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn properties(&mut self, properties: Json<'_>) -> Result<(), HeaderFault> {
        for (name, schema) in properties.members() {
            self.path.push(name.into_owned());
            self.schema(schema, Place::Property)?;
            self.path.pop();
        }
        Ok(())
    }

    /// The schemas in a keyword's value; what is no schema there has no members.
    fn elsewhere(&mut self, keyword: &str, value: Json<'_>) -> Result<(), HeaderFault> {
        match keyword {
            "$defs" | "definitions" | "dependencies" | "dependentSchemas" | "patternProperties"
            | "properties" => {
                value.members().try_for_each(|(_, schema)| self.schema(schema, Place::Elsewhere))
            }
            "additionalItems"
            | "additionalProperties"
            | "allOf"
            | "anyOf"
            | "contains"
            | "contentSchema"
            | "else"
            | "if"
            | "items"
            | "not"
            | "oneOf"
            | "prefixItems"
            | "propertyNames"
            | "then"
            | "unevaluatedItems"
            | "unevaluatedProperties" => {
                self.schema(value, Place::Elsewhere)?;
                value.items().try_for_each(|schema| self.schema(schema, Place::Elsewhere))
            }
            _ => Ok(()),
        }
    }

    fn annotation(&mut self, schema: Json<'_>, value: Json<'_>) -> Result<(), HeaderFault> {
        let name = value.string().ok_or(HeaderFault::Annotation("the name is not a string"))?;
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeaderFault::Annotation("the name is not an HTTP token"));
        }
        let kind =
            schema.get("type").filter(|kind| kind.kind() == Kind::String).and_then(Json::string);
        if !matches!(kind.as_deref(), Some("boolean" | "integer" | "string")) {
            return Err(HeaderFault::Annotation("the type is not integer, string or boolean"));
        }
        let header = HeaderName::try_from(format!("mcp-param-{name}"))
            .map_err(|_| HeaderFault::Annotation("the name is not an HTTP token"))?;
        if self.found.iter().any(|other| other.header == header) {
            return Err(HeaderFault::Annotation("the name is used twice"));
        }
        if self.found.len() >= MOST {
            return Err(HeaderFault::Annotation("too many"));
        }
        self.found.push(HeaderParam { header, path: self.path.clone() });
        Ok(())
    }
}

/// RFC 9110 `tchar`.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
