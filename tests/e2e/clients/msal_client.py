"""Signs in with Microsoft's own client: `msal_client.py WHAT` with what it needs as JSON on standard input.
It prints what MSAL got, or the error that MSAL read, as JSON."""

import json
import sys
from urllib.parse import parse_qsl, urlsplit

import msal
import requests

given = json.load(sys.stdin)
web = requests.Session()
web.verify = given["ca"]
# A variable that names another bundle would win otherwise.
web.trust_env = False


def confidential(credential=None, **more):
    return msal.ConfidentialClientApplication(
        given["client"],
        client_credential=credential or given["secret"],
        authority=given["authority"],
        http_client=web,
        instance_discovery=False,
        validate_authority=False,
        **more,
    )


def public():
    return msal.PublicClientApplication(
        given["terminal"],
        authority=given["authority"],
        http_client=web,
        instance_discovery=False,
        validate_authority=False,
    )


def certificate():
    key, public = open(given["key"]).read(), open(given["certificate"]).read()
    return {"private_key": key, "public_certificate": public}


def browse(flow):
    """What a person does with a browser; the last redirect goes to the application."""
    form = {"loginfmt": given["user"], "passwd": given["password"]}
    answer = web.post(flow["auth_uri"], data=form, allow_redirects=False)
    return dict(parse_qsl(urlsplit(answer.headers["location"]).query))


def code(**more):
    cache = msal.SerializableTokenCache()
    app = confidential(token_cache=cache, **more)
    flow = app.initiate_auth_code_flow(given["scopes"], redirect_uri=given["redirect"])
    got = app.acquire_token_by_auth_code_flow(flow, browse(flow))
    if "cache" in given:
        open(given["cache"], "w").write(cache.serialize())
    got["accounts"] = [account["username"] for account in app.get_accounts()]
    return got


def refresh():
    cache = msal.SerializableTokenCache()
    cache.deserialize(open(given["cache"]).read())
    app = confidential(token_cache=cache)
    account = app.get_accounts()[0]
    return app.acquire_token_silent_with_error(given["scopes"], account, force_refresh=True)


def device():
    app = public()
    flow = app.initiate_device_flow(given["scopes"])
    form = {"otc": flow["user_code"], "loginfmt": given["user"], "passwd": given["password"]}
    pending = app.acquire_token_by_device_flow(flow, exit_condition=lambda flow: True)
    web.post(flow["verification_uri"], data=form)
    return {**app.acquire_token_by_device_flow(flow), "pending": pending.get("error")}


what = {
    "certificate": lambda: confidential(certificate()).acquire_token_for_client(given["scopes"]),
    "client": lambda: confidential().acquire_token_for_client(given["scopes"]),
    "code": code,
    "code-cp1": lambda: code(client_capabilities=["cp1"]),
    "device": device,
    "federated": lambda: confidential(
        {"client_assertion": lambda: machine("api://AzureADTokenExchange")["access_token"]}
    ).acquire_token_for_client(given["scopes"]),
    "machine": lambda: machine(given["scopes"][0]),
    "on-behalf-of": lambda: confidential().acquire_token_on_behalf_of(given["token"], given["scopes"]),
    "refresh": refresh,
}


def machine(resource):
    identity = msal.SystemAssignedManagedIdentity()
    client = msal.ManagedIdentityClient(identity, http_client=requests.Session())
    return client.acquire_token_for_client(resource=resource)


print(json.dumps(what[sys.argv[1]]()))
