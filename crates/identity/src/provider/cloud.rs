//! Microsoft's clouds, each with hosts of its own.

/// Where Entra and Graph are. No host is ever taken from a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cloud {
    /// Where people sign in, and what tokens of version 2 name as their issuer, without a final `/`.
    pub login: String,
    /// What tokens of version 1 name as their issuer, without a final `/`.
    pub sts: String,
    /// Microsoft Graph, without a final `/`.
    pub graph: String,
    /// What tokens for Graph are issued for.
    pub graph_audience: String,
}

impl Cloud {
    /// The one for everybody.
    pub fn public() -> Cloud {
        Cloud::at("login.microsoftonline.com", "sts.windows.net", "graph.microsoft.com")
    }

    /// Azure Government (GCC High, L4).
    pub fn us_government() -> Cloud {
        Cloud::at("login.microsoftonline.us", "sts.windows.net", "graph.microsoft.us")
    }

    /// Azure Government for the Department of Defense (L5).
    pub fn us_dod() -> Cloud {
        Cloud::at("login.microsoftonline.us", "sts.windows.net", "dod-graph.microsoft.us")
    }

    /// Azure operated by 21Vianet.
    pub fn china() -> Cloud {
        Cloud::at(
            "login.partner.microsoftonline.cn",
            "sts.chinacloudapi.cn",
            "microsoftgraph.chinacloudapi.cn",
        )
    }

    fn at(login: &str, sts: &str, graph: &str) -> Cloud {
        let https = |host: &str| format!("https://{host}");
        Cloud {
            login: https(login),
            sts: https(sts),
            graph: https(graph),
            graph_audience: https(graph),
        }
    }

    /// The discovery document of version 2: of the one tenant, or of all.
    pub fn discovery(&self, tenant: Option<&str>) -> String {
        let tenant = tenant.unwrap_or("organizations");
        format!("{}/{tenant}/v2.0/.well-known/openid-configuration", self.login)
    }

    /// The issuer that this document names: with several tenants it is a template.
    pub fn discovery_issuer(&self, tenant: Option<&str>) -> String {
        self.issuer_v2(tenant.unwrap_or("{tenantid}"))
    }

    /// Where a tenant's tokens are given out.
    pub fn token_endpoint(&self, tenant: &str) -> String {
        format!("{}/{tenant}/oauth2/v2.0/token", self.login)
    }

    /// Where Graph says which groups somebody is in, directly or not.
    pub fn member_objects(&self, object: &str) -> String {
        format!("{}/v1.0/users/{object}/getMemberObjects", self.graph)
    }

    /// Where Graph says whether an account is enabled.
    pub fn account(&self, object: &str) -> String {
        format!("{}/v1.0/users/{object}?$select=accountEnabled", self.graph)
    }

    pub(super) fn issuer_v1(&self, tenant: &str) -> String {
        format!("{}/{tenant}/", self.sts)
    }

    pub(super) fn issuer_v2(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.login)
    }
}
