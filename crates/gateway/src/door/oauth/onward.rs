//! Tokens of the provider's for what lies behind this gateway, on the strength of a sign-in here.

use store::Session;
use url::Url;
use vault::{
    Secret,
    exchange::{ExchangeFault, ExchangeRequest, Exchanged, Wanted},
};

use super::{Broker, session::Over};
use crate::{Gateway, exchange::prove, seal::Purpose};

impl Gateway {
    /// A token for whoever signed in, for other scopes than the sign-in's, or for the same when there are none.
    pub(crate) async fn onward_token(
        &self,
        session: &str,
        scope: &str,
    ) -> Result<Exchanged, ExchangeFault> {
        let broker = self.broker().ok_or(ExchangeFault::Nobody)?;
        // One at a time for each session: providers take a refresh token that is shown twice for stolen.
        let _turn = broker.turn(session).lock().await;
        let mut session = self.stored_session(session).await.map_err(fault)?;
        let got = self.redeem(&broker, &session, scope).await;
        match &got {
            Ok(Exchanged { refresh: Some(refresh), .. }) => {
                let refresh = refresh.expose().as_bytes();
                let sealed =
                    self.sealer.seal(Purpose::ProviderToken, &session.id, u64::MAX, refresh);
                session.provider = Some(sealed.map_err(|f| unavailable(&f))?);
                let kept = self.store.oauth_session_checked(&session).await;
                kept.map_err(|f| unavailable(&f))?;
            }
            Err(ExchangeFault::Expired(answer)) => {
                let reason = format!("the provider refused: {answer}");
                self.end_session(&broker, &session.id, &reason).await.map_err(fault)?;
            }
            _ => {}
        }
        got
    }

    async fn redeem(
        &self,
        broker: &Broker,
        session: &Session,
        scope: &str,
    ) -> Result<Exchanged, ExchangeFault> {
        let now = crate::now();
        let sealed = session.provider.as_deref().ok_or(ExchangeFault::Nobody)?;
        let refresh = self.sealer.open(Purpose::ProviderToken, &session.id, now, sealed);
        let refresh = String::from_utf8(refresh.map_err(|f| unavailable(&f))?);
        let refresh = Secret::new(refresh.map_err(|f| unavailable(&f))?.into_boxed_str());
        let endpoints = self.endpoints(broker).await.map_err(|f| unavailable(&f))?;
        let url = Url::parse(&endpoints.token).map_err(|f| unavailable(&f))?;
        let config = &broker.config;
        let (id, proof) = (&config.client_id, &config.proof);
        let proof = prove(id, proof, &endpoints.token, &self.client, &self.secrets).await;
        let proof = proof.map_err(ExchangeFault::Unavailable)?;
        let wanted = Wanted { scope: scope.to_owned(), ..Wanted::default() };
        let form = ExchangeRequest::Refresh(&refresh).form(&url, &wanted, &proof);
        let answer = self.grants.post(form, endpoints.allow_private).await;
        let (status, body) = answer.map_err(|f| unavailable(&f))?;
        Exchanged::read(status, &body, now)
    }
}

fn fault(over: Over) -> ExchangeFault {
    match over {
        Over::Ended => ExchangeFault::Expired(Default::default()),
        Over::Unconfirmed => unavailable(&"the provider does not answer"),
        Over::Store(fault) => unavailable(&fault),
    }
}

fn unavailable(fault: &dyn std::fmt::Display) -> ExchangeFault {
    ExchangeFault::Unavailable(fault.to_string())
}
