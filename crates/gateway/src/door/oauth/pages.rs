//! The pages: who asks for what, the device's code, what went wrong, and the way on.

use askama::Template;

use super::answer::STYLE;

/// The question whether a client may act for the person.
#[derive(Template)]
#[template(path = "oauth/consent.html")]
pub struct Consent<'a> {
    /// What the client calls itself.
    pub client: &'a str,
    /// The host of its page, if it has one.
    pub home: Option<&'a str>,
    /// Where the answer goes: a host, or that it is a device.
    pub destination: &'a str,
    /// What it will reach.
    pub resource: &'a str,
    /// What it will be allowed.
    pub scopes: Vec<&'a str>,
    /// Who vouches for the client.
    pub voucher: Voucher<'a>,
    /// Whether any program on the person's machine could pose as it.
    pub loopback: bool,
    /// Whether a device asks: then somebody else may have begun this.
    pub device: bool,
    /// What the answer is bound to.
    pub question: &'a str,
}

/// Who vouches for a client.
#[derive(Clone, Copy)]
pub enum Voucher<'a> {
    /// The operator of this gateway.
    Operator,
    /// The holder of this domain.
    Domain(&'a str),
    /// Nobody.
    Nobody,
}

impl Consent<'_> {
    fn style(&self) -> &'static str {
        STYLE
    }
}

/// Where the code of a device is typed.
#[derive(Template)]
#[template(path = "oauth/device.html")]
pub struct Device<'a> {
    /// What is filled in already.
    pub code: &'a str,
    /// What was wrong with the last one.
    pub wrong: bool,
    /// What the answer is bound to.
    pub question: &'a str,
}

impl Device<'_> {
    fn style(&self) -> &'static str {
        STYLE
    }
}

/// A message, with a way on or without.
#[derive(Default, Template)]
#[template(path = "oauth/message.html")]
pub struct Message<'a> {
    /// In one line.
    pub title: &'a str,
    /// In a sentence or two.
    pub text: &'a str,
    /// To find it in the log by.
    pub request: Option<&'a str>,
    /// Where the browser goes next, and what that is called. The browser is not redirected, because a policy on where forms may
    /// lead would stop it half way.
    pub next: Option<(&'a str, &'a str)>,
    /// Where the person may go, and what that is called: never without them.
    pub link: Option<(&'a str, &'a str)>,
}

impl Message<'_> {
    fn style(&self) -> &'static str {
        STYLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_client_calls_itself_is_text() {
        let name = r#""><script>alert(1)</script><img src=x onerror=alert(1)>'"#;
        let page = Consent {
            client: name,
            home: Some(name),
            destination: name,
            resource: name,
            scopes: vec![name],
            voucher: Voucher::Domain(name),
            loopback: true,
            device: false,
            question: name,
        };
        let html = page.render().unwrap();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(!html.contains(r#"value="">"#));
        let next = Some((r#"javascript:"><script>"#, name));
        let message = Message { title: name, text: name, request: Some(name), next, link: next };
        let html = message.render().unwrap();
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
    }
}
