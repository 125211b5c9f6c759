//! Stand-ins for vaults, in the test's own process: the parts of Azure Key Vault and of HashiCorp Vault's KV 2 and
//! transit that Bartizan uses, in the form that their documentation gives them, and with the trouble that a test asks for.
#![forbid(unsafe_code)]

mod hashicorp;
mod key_vault;
mod server;

pub use hashicorp::HashiCorp;
pub use key_vault::KeyVault;
pub use server::Trouble;
