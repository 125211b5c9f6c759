//! The pages that a browser sees. They have the names of Entra's own form fields and none of its looks.

/// Text in HTML.
fn escape(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c => out.push(c),
        }
    }
    out
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><h1>{title}</h1>{body}"
    )
}

/// Name and password.
pub(crate) fn sign_in(complaint: &str) -> String {
    let complaint = escape(complaint);
    let form = format!(
        "<form method=post><p role=alert>{complaint}</p><input name=loginfmt placeholder=\"Email\">\
         <input name=passwd type=password><button id=idSIButton9>Sign in</button></form>"
    );
    page("Sign in to your account", &form)
}

/// Whether the application may do what it asks for.
pub(crate) fn consent(app: &str, scope: &str) -> String {
    let (app, scope) = (escape(app), escape(scope));
    let form = format!(
        "<p>{app} would like to: {scope}</p><form method=post>\
         <button name=consent value=accept id=idBtn_Accept>Accept</button>\
         <button name=consent value=cancel>Cancel</button></form>"
    );
    page("Permissions requested", &form)
}

/// The code of a device, and the sign-in.
pub(crate) fn device(complaint: &str) -> String {
    let complaint = escape(complaint);
    let form = format!(
        "<form method=post><p role=alert>{complaint}</p><input name=otc><input name=loginfmt>\
         <input name=passwd type=password><button>Next</button></form>"
    );
    page("Enter code", &form)
}

/// An error that goes to nobody but the user.
pub(crate) fn error(description: &str) -> String {
    page(
        "Sorry, but we&rsquo;re having trouble signing you in",
        &format!("<p>{}", escape(description)),
    )
}

/// `response_mode=form_post`.
pub(crate) fn form_post(to: &str, fields: &[(&str, String)]) -> String {
    let fields: String = fields
        .iter()
        .map(|(name, value)| format!("<input type=hidden name={name} value=\"{}\">", escape(value)))
        .collect();
    let form = format!(
        "<form method=post action=\"{}\">{fields}<noscript><button>Continue</button></noscript></form>\
         <script>document.forms[0].submit()</script>",
        escape(to)
    );
    page("Working...", &form)
}
