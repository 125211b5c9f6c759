//! People sign in at Entra ID, as the tests' stand-in for it plays it, through this gateway and in a real browser. What
//! Entra lacks and what it refuses is what these tests are about.

use e2e::{Place, SigningClient};
use entra::{DAVE, ERIN};

#[tokio::test]
async fn who_may_not_sign_in_reads_why() {
    let place = Place::new("").await;
    let start = format!("{}/mcp/everything", place.url);
    for (name, number) in [(ERIN, "AADSTS50105"), (DAVE, "AADSTS50057")] {
        let home = tempfile::tempdir().unwrap();
        let mut client = SigningClient::remote(&start, home.path(), place.person(name));
        client.visit_once().await;
        let page = &client.visits[0];
        assert!(page["text"].as_str().unwrap().contains(number), "{name}: {page}");
    }
}
