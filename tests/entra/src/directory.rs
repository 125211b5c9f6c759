//! The directory: one tenant with five users and seven applications.

use std::collections::{BTreeMap, BTreeSet};

use crate::keys::Key;

/// The tenant.
pub const TENANT: &str = "7a1f0c52-3c0e-4c55-9f0a-5d1f6f1b2e11";
/// Another tenant, whose tokens have nothing to say here.
pub const OTHER_TENANT: &str = "b94c8a3e-17d2-4f7e-8a55-0c6f2b7d9e22";
/// The tenant of personal accounts, the same everywhere.
pub const CONSUMERS: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// The gateway's application: v2.0 tokens, app roles, groups, a secret, a certificate, federated credentials.
pub const GATEWAY: &str = "0f3a52c6-8a6f-4c0e-9f53-2f0d3a8e7b01";
/// Its secret.
pub const GATEWAY_SECRET: &str = "gat~8Q-the-gateway-s-own-secret";
/// A service without a user that has the app role `Tools.Worker` of the gateway.
pub const DAEMON: &str = "1e6b8d3f-5a70-4b29-8c44-7d92c5a1f002";
/// A service without any role: the tenant gives it tokens for the gateway all the same.
pub const STRANGER: &str = "2c9d7e40-6b81-4a3a-9d55-8ea3d6b20003";
/// Its secret, and the daemon's.
pub const STRANGER_SECRET: &str = "str~9Q-the-stranger-s-own-secret";
/// A public client: device code, and loopback redirects.
pub const TERMINAL: &str = "3dae8f51-7c92-4b4b-ae66-9fb4e7c30004";
/// A downstream API that takes v1.0 tokens: `api://orders`, scope `orders.read`.
pub const ORDERS: &str = "4ebf9062-8da3-4c5c-bf77-a0c5f8d40005";
/// Azure Monitor, as those have it who send logs.
pub const MONITOR: &str = "be7f66c8-5e1c-4a9b-8a4f-2f6c0d7a0007";
/// Microsoft Graph.
pub const GRAPH: &str = "00000003-0000-0000-c000-000000000000";
/// The object of a managed identity.
pub const MACHINE: &str = "5fc0a173-9eb4-4d6d-8088-b1d609e50006";

/// Has the role `Tools.Admin` and two groups.
pub const ALICE: &str = "alice@contoso.example";
/// Has the role `Tools.User`.
pub const BOB: &str = "bob@contoso.example";
/// Has the role `Tools.User` and 250 groups, more than a token holds.
pub const CAROL: &str = "carol@contoso.example";
/// Is disabled.
pub const DAVE: &str = "dave@contoso.example";
/// Is not assigned to the gateway's application.
pub const ERIN: &str = "erin@contoso.example";
/// Everybody's password.
pub const PASSWORD: &str = "correct horse battery staple";

/// All that is known of people and programs.
#[derive(Debug)]
pub struct Directory {
    /// The users.
    pub users: Vec<User>,
    /// The applications, with their service principals.
    pub apps: Vec<App>,
}

/// A user.
#[derive(Debug)]
pub struct User {
    /// `userPrincipalName`, by which tests name them.
    pub name: String,
    /// The object id.
    pub oid: String,
    /// Whether they may sign in.
    pub enabled: bool,
    /// The groups' object ids.
    pub groups: Vec<String>,
    /// What was given out before this time is revoked.
    pub valid_from: i64,
}

/// An application.
#[derive(Debug)]
pub struct App {
    /// The application (client) id.
    pub id: String,
    /// The name shown to people.
    pub name: String,
    /// The object id of its service principal.
    pub oid: String,
    /// `identifierUris`: what stands before its scopes.
    pub uri: String,
    /// `requestedAccessTokenVersion`.
    pub version: &'static str,
    /// Whether it has no credential by nature.
    pub public: bool,
    /// Its secrets, each with the time at which it expires.
    pub secrets: Vec<(String, i64)>,
    /// Its certificate.
    pub(crate) certificate: Option<Key>,
    /// Its federated credentials: issuer, subject.
    pub federated: Vec<(String, String)>,
    /// Where its codes may be sent. A public client has its loopback beside them.
    pub redirect_uris: Vec<String>,
    /// The scopes it offers.
    pub scopes: Vec<String>,
    /// Whether users must be assigned to it.
    pub assignment_required: bool,
    /// Its app roles, by the object ids that have them.
    pub assigned: BTreeMap<String, BTreeSet<String>>,
    /// `groupMembershipClaims`: whether tokens for it name the user's groups.
    pub groups_claim: bool,
    /// The optional claims of its access tokens: `idtyp`, `xms_cc`.
    pub optional: Vec<&'static str>,
    /// The applications for which an administrator or the user has consented.
    pub consented: BTreeSet<String>,
}

impl Directory {
    pub(crate) fn new(gateway_certificate: Key) -> Directory {
        let users = vec![
            user(ALICE, 1, 2),
            user(BOB, 2, 1),
            user(CAROL, 3, 250),
            User { enabled: false, ..user(DAVE, 4, 1) },
            user(ERIN, 5, 1),
        ];
        let roles = |pairs: &[(&str, &str)]| {
            let mut assigned = BTreeMap::<String, BTreeSet<String>>::new();
            for (who, role) in pairs {
                assigned.entry((*who).to_owned()).or_default().insert((*role).to_owned());
            }
            assigned
        };
        let (alice, bob, carol, dave) =
            (&users[0].oid, &users[1].oid, &users[2].oid, &users[3].oid);
        let gateway = App {
            secrets: vec![(GATEWAY_SECRET.to_owned(), i64::MAX)],
            certificate: Some(gateway_certificate),
            scopes: vec!["mcp".into()],
            assignment_required: true,
            groups_claim: true,
            optional: vec!["idtyp", "xms_cc"],
            assigned: roles(&[
                (alice, "Tools.Admin"),
                (bob, "Tools.User"),
                (carol, "Tools.User"),
                (dave, "Tools.User"),
                (&principal(DAEMON), "Tools.Worker"),
            ]),
            consented: [GATEWAY, TERMINAL].map(String::from).into(),
            ..app(GATEWAY, "Bartizan", "2.0")
        };
        let orders = App {
            uri: "api://orders".into(),
            scopes: vec!["orders.read".into(), "orders.write".into()],
            consented: [GATEWAY.to_owned()].into(),
            ..app(ORDERS, "Orders", "1.0")
        };
        let graph = App {
            optional: vec!["xms_cc"],
            uri: "https://graph.microsoft.com".into(),
            scopes: vec!["User.Read".into(), "GroupMember.Read.All".into()],
            assigned: roles(&[
                (&principal(GATEWAY), "GroupMember.Read.All"),
                (&principal(GATEWAY), "User.Read.All"),
            ]),
            consented: [GATEWAY.to_owned()].into(),
            ..app(GRAPH, "Microsoft Graph", "1.0")
        };
        let monitor =
            App { uri: "https://monitor.azure.com".into(), ..app(MONITOR, "Azure Monitor", "1.0") };
        let with_secret = |id, name| App {
            secrets: vec![(STRANGER_SECRET.to_owned(), i64::MAX)],
            ..app(id, name, "2.0")
        };
        let terminal = App { public: true, ..app(TERMINAL, "Terminal", "2.0") };
        let apps = vec![
            gateway,
            orders,
            monitor,
            graph,
            with_secret(DAEMON, "Daemon"),
            with_secret(STRANGER, "Stranger"),
            terminal,
        ];
        Directory { users, apps }
    }

    pub(crate) fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name.eq_ignore_ascii_case(name) || user.oid == name)
    }

    /// A user by name, to be changed.
    pub fn user_mut(&mut self, name: &str) -> &mut User {
        self.users.iter_mut().find(|user| user.name == name).expect("a user of the directory")
    }

    pub(crate) fn app(&self, id: &str) -> Option<&App> {
        self.apps.iter().find(|app| app.id == id)
    }

    /// An application by its id, to be changed.
    pub fn app_mut(&mut self, id: &str) -> &mut App {
        self.apps.iter_mut().find(|app| app.id == id).expect("an application of the directory")
    }
}

impl App {
    /// The roles that somebody has here.
    pub(crate) fn roles_of(&self, oid: &str) -> Vec<String> {
        self.assigned.get(oid).into_iter().flatten().cloned().collect()
    }

    /// Whether a code may be sent there.
    pub(crate) fn redirects_to(&self, uri: &str) -> bool {
        let loopback = ["http://localhost", "http://127.0.0.1"];
        let at_home = self.public
            && loopback.iter().any(|host| {
                uri.strip_prefix(host)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
            });
        at_home || self.redirect_uris.iter().any(|registered| registered == uri)
    }
}

fn user(name: &str, number: u32, groups: u32) -> User {
    let groups = (0..groups).map(|group| format!("6ad1b284-afc5-4e7e-9199-{group:012}"));
    User {
        name: name.into(),
        oid: format!("70e2c395-b0d6-4f8f-a2aa-{number:012}"),
        enabled: true,
        groups: groups.collect(),
        valid_from: 0,
    }
}

/// The object id of an application's service principal.
pub(crate) fn principal(app: &str) -> String {
    format!("e{}", &app[1..])
}

fn app(id: &str, name: &str, version: &'static str) -> App {
    App {
        id: id.into(),
        name: name.into(),
        oid: principal(id),
        uri: format!("api://{id}"),
        version,
        public: false,
        secrets: vec![],
        certificate: None,
        federated: vec![],
        redirect_uris: vec![],
        scopes: vec![],
        assignment_required: false,
        assigned: BTreeMap::new(),
        groups_claim: false,
        optional: vec![],
        consented: BTreeSet::new(),
    }
}

/// What was given out and can come back.
#[derive(Debug, Default)]
pub(crate) struct Given {
    pub codes: BTreeMap<String, Code>,
    pub refresh: BTreeMap<String, Refresh>,
    /// The browser's sessions: cookie, user's object id.
    pub sessions: BTreeMap<String, Session>,
    pub devices: BTreeMap<String, Device>,
}

/// Who signed in, and how well.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub user: String,
    pub second_factor: bool,
    pub since: i64,
}

/// What a client was granted.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub client: String,
    pub session: Session,
    pub scope: crate::scope::Scope,
    pub nonce: Option<String>,
    /// Whether the client knows claims challenges.
    pub challenges: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub grant: Grant,
    pub redirect_uri: String,
    pub challenge: Option<(String, String)>,
    pub expires: i64,
    pub used: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Refresh {
    pub grant: Grant,
    pub issued: i64,
    pub expires: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub client: String,
    pub scope: crate::scope::Scope,
    pub user_code: String,
    pub expires: i64,
    /// `Some(None)` after the user has declined.
    pub answer: Option<Option<Session>>,
}
