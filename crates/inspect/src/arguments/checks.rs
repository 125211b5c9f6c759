//! What breaks out of a value: patterns, each for the parameters in which it means harm.

use regex::bytes::{RegexSet, RegexSetBuilder};

use super::{Verdict, kind::Parameter};
use crate::{
    Severity,
    rules::{RuleFault, RuleReason},
};

use Parameter::{Command, Header, Name, Path, Sql, Template, Url};
use Severity::{High, Low, Medium};

pub(crate) const PROTOTYPE: Verdict = Verdict {
    rule: "argument.prototype",
    severity: High,
    message: "A member that changes the prototype of objects.",
};

pub(crate) const TOO_MANY: Verdict = Verdict {
    rule: "argument.too-many",
    severity: High,
    message: "More suspicious values than are looked at.",
};

type Check = (&'static str, Severity, &'static [Parameter], &'static str, &'static str);

/// Every parameter but prose.
const ANY: &[Parameter] = &[Command, Header, Name, Path, Sql, Template, Url];
/// Values that are put into something, not run themselves.
const VALUE: &[Parameter] = &[Header, Name, Path, Template, Url];

const CHECKS: [Check; 38] = [
    // Shells, in values that are no commands.
    (
        "argument.shell",
        High,
        VALUE,
        "A value that ends its command and begins another.",
        r"(;|\|\|?|&&|\n|\r)\s*(cat|ls|id|whoami|curl|wget|nc|ncat|bash|sh|zsh|rm|ping|sleep|python\d?|perl|ruby|php|powershell|pwsh|uname|cmd|touch|chmod|nslookup|dig|kill|sudo|env|printenv|netstat|ifconfig|ipconfig|dir|type|net user|reboot|shutdown|mkfifo|tftp|ssh|scp)(\s|$|\.exe|;|&|\||/|`)",
    ),
    (
        "argument.shell",
        High,
        VALUE,
        "A value that has a shell run something.",
        r"\$\([^)]{1,200}\)|`[^`\n]{2,200}`|\$\{IFS\}|\$IFS\b|<\([a-z]+ [^)]*\)",
    ),
    (
        "argument.shell",
        High,
        VALUE,
        "A value that runs a shell in the background.",
        r"&\s*(cat|curl|wget|nc|bash|sh|rm|ping|whoami|id|powershell|cmd|dir|sleep)\b[\s/-]",
    ),
    (
        "argument.option",
        High,
        &[Name, Path, Url],
        "A value that is an option of a command.",
        r"^--?(upload-pack|exec|output|config|receive-pack|checkpoint(-action)?|use-askpass|to-command|rsh|o[A-Z]\w*ProxyCommand)\b|^-o\s*ProxyCommand",
    ),
    // Commands that no task needs.
    (
        "argument.destructive-command",
        High,
        &[Command, Name, Path, Url],
        "A command that deletes what it should not.",
        r"\brm\s+(-{1,2}[\w-]+\s+)*(-[a-z]*r[a-z]*|--recursive)\s+(-{1,2}[\w-]+\s+)*(--\s+)?[\x22']?(/|~|\$HOME|\*|/\*|\.\.|/(etc|usr|var|home|bin|boot|lib|root|opt)\b)[\x22']?(\s|$|/\*|/\s|;)",
    ),
    (
        "argument.destructive-command",
        High,
        &[Command, Name, Path],
        "A command that overwrites a disk.",
        r"\b(mkfs(\.\w+)?\s|dd\s[^\n]*of=/dev/|>\s*/dev/(sd|nvme|hd|vd)|:\(\)\s*\{|shred\s+(-\w+\s+)*/|format\s+c:|del\s+/[fsq]\s)",
    ),
    (
        "argument.reverse-shell",
        High,
        ANY,
        "A command that hands a shell to another machine.",
        r"/dev/(tcp|udp)/|\bnc(at)?\b[^\n]*\s-[a-z]*[ec]\b|\bbash\s+-i\b|mkfifo\s+/tmp|socket\.socket\([^\n]*connect|\bsocat\b[^\n]*exec:|\bexec\s+\d+<>",
    ),
    (
        "argument.download-and-run",
        High,
        ANY,
        "A command that runs what it downloads.",
        r"\b(curl|wget|fetch|iwr|invoke-webrequest)\b[^|\n]*\|\s*(sudo\s+)?(ba|z|da|k)?sh\b|\b(curl|wget)\b[^|\n]*\|\s*(python|perl|ruby|node)|\bi(ex|nvoke-expression)\b\s*[(]?[^\n]*(downloadstring|webrequest|iwr)|base64\s+(-d|--decode|-D)[^\n]*\|\s*(ba|z)?sh|powershell[^\n]*\s-e(nc|c|ncodedcommand)?\s",
    ),
    (
        "argument.secret-command",
        High,
        &[Command, Name],
        "A command that reads credentials.",
        r"(/etc/shadow|/etc/passwd|/etc/sudoers|~?/\.ssh/|\bid_(rsa|ed25519|dsa)\b|\.aws/credentials|\.git-credentials|\.bash_history|/proc/\d+/(root|environ)|/proc/self/environ|\.kube/config|\.docker/config\.json|\.netrc)",
    ),
    (
        "argument.secret-command",
        High,
        &[Command],
        "A command that sends the environment or files out.",
        r"\b(env|printenv|set)\b\s*\|\s*(curl|nc|wget)|\bcurl\b[^\n]*\s(-d|--data(-binary)?|-F|-T|--upload-file)\s*[\x22']?@?(~|/etc|/root|\.env|\$\(|`)",
    ),
    (
        "argument.escape-command",
        High,
        &[Command],
        "A command that leaves its container or gains rights.",
        r"\bnsenter\b|--privileged\b|\bchmod\s+(-R\s+)?[0-7]*777\s+/|\bchmod\s+[ug+]*\+?s\b|\bcrontab\b|docker\.sock|\bchroot\s|authorized_keys|\bsetcap\b|\bLD_PRELOAD=|\busermod\b|\bvisudo\b|insmod|/etc/cron",
    ),
    // SQL.
    (
        "argument.sql-injection",
        High,
        &[Name, Path, Url, Header, Template],
        "A value that changes the statement that it is put into.",
        r"['\x22`)]\s*(\)|\s)*(or|and|\|\||&&|xor|having|like|rlike|in|between)\b[\s(/*+!~-]*(['\x22`(\w\d][^\n]{0,30}(=|<|>|\blike\b|\bin\b|\bis\b|\bbetween\b)|\d|true|not|exists|select|sleep|benchmark|ascii|substr)",
    ),
    (
        "argument.sql-injection",
        High,
        &[Name, Path, Url, Header],
        "A value that adds a statement or a comment.",
        r"['\x22`)\d]\s*\)*\s*(;|\|\||/\*|#|--)\s*(drop|delete|insert|update|exec|execute|shutdown|select|declare|create|alter|truncate|waitfor|begin|if)\b",
    ),
    (
        "argument.sql-injection",
        High,
        &[Name, Path, Url, Header],
        "A value that ends with a comment of SQL.",
        r"['\x22`)]\s*\)*\s*(--|#|/\*|;%00|;\s*$)(\s|$|\+|-)|^\s*['\x22`]\s*(--|#|/\*)|['\x22)]\s*(--|#)\s*$|^\s*(admin|root)\s*['\x22]",
    ),
    (
        "argument.sql-injection",
        High,
        &[Name, Path, Url, Header],
        "A value that joins another query.",
        r"\bunion\b[\s(/*!+]+(all\b|distinct\b)?[\s(/*!+]*select\b|\bselect\b\s+[\w*@,.() ]{1,60}\sfrom\s+\w+\s*(where\b|--|;|#|/\*|limit\b|union\b)|\border\s+by\s+\d+|\bgroup\s+by\b[^\n]{1,60}\bhaving\b|\bhaving\s+\d+\s*=",
    ),
    (
        "argument.sql-injection",
        High,
        &[Sql],
        "A statement that reads the catalogue through a union.",
        r"\bunion\b[\s(/*!+]+(all\b)?[\s(/*!+]*select\b[^\n]*(information_schema|sys\.|pg_catalog|sqlite_master|null\s*,\s*null|@@version|password|from\s+users)|^\W*union\b",
    ),
    (
        "argument.sql-function",
        High,
        &[Name, Path, Url, Header, Sql],
        "A function of SQL that waits, runs commands or reads files.",
        r"\b(sleep|pg_sleep|benchmark|dbms_pipe\.receive_message|randomblob|utl_http\.request|utl_inaddr|extractvalue|updatexml|load_file|xp_\w+|sp_(oacreate|executesql|password|makewebtask|configure|addextendedproc|\w+)|sys_eval|lo_import|char_length|ascii|substring|convert|cast|master\.\.\w+)\s*(\(|\b)[^\n]*|\bwaitfor\s+(delay|time)\b|\binto\s+(out|dump)file\b|\bcopy\b[^\n]*\bprogram\b",
    ),
    (
        "argument.sql-tautology",
        High,
        &[Name, Path, Url, Header],
        "A condition that is always true.",
        r"\b(or|and|having|where)\s+\(?\s*['\x22]?(\d+)['\x22]?\s*(=|like)\s*['\x22]?\d+\b|\bor\b\s+['\x22(]*\w+['\x22)]*\s*(=|like)\s*['\x22(]*\w+['\x22]*\s*(--|#|/\*|$)|['\x22]\s*=\s*['\x22(]|\b(or|and)\s+(true|not\s+false|1)\b|\d+\s*(or|and)\s+\d+\s*[=<>]|['\x22]\s*(\+|\|\||&|-|\*|\^|%|/|like|=|<|>)+\s*['\x22]",
    ),
    (
        "argument.sql-destructive",
        Medium,
        &[Name, Sql, Command],
        "A statement that destroys tables or rights.",
        r"\b(drop|truncate)\s+(/\*.*?\*/\s*)?(table|database|schema|user|role|index|view)\b|\bdrop/\*.*?\*/\w+|\bdelete\s+from\s+\w+\s*(;|$|where\s+1\s*=\s*1)|\bgrant\s+all\b|\bshutdown\s*(;|--|$|with)|;\s*--",
    ),
    // Templates and expressions.
    (
        "argument.template",
        High,
        ANY,
        "A value that a template engine would run.",
        r"\{\{[^}\n]{0,120}(__|\bconfig\b|\bself\b|\brequest\b|\bconstructor\b|\bprocess\b|\d\s*\*\s*['\x22]?\d|\blipsum\b|\bcycler\b|\bpopen\b|\bglobals\b|\bsystem\b)[^}\n]{0,120}\}\}|\{%[^%\n]{0,120}(import|include|for|if|set)\b[^%\n]{0,120}(__|\bos\b|popen|config)",
    ),
    (
        "argument.template",
        High,
        ANY,
        "A value that an expression language would run.",
        r"\$\{[^}\n]{0,120}(\d\s*\*\s*\d|\bT\(|Runtime|getClass|\bexec\b|ProcessBuilder|class\.forName|jndi:|lower:|env:|sys:|script:|dns:)[^}\n]{0,200}|#\{[^}\n]{0,80}(\d\s*\*\s*\d|`|system|exec)[^}\n]{0,80}\}|<%=?[^%\n]{0,120}(\d\s*\*\s*\d|system|exec|File|`)[^%\n]{0,120}%>|\*\{\d\s*\*\s*\d\}|@\(\d\s*[*+]\s*\d\)",
    ),
    (
        "argument.lookup",
        High,
        ANY,
        "A lookup that makes a logger load code.",
        r"\$\{[^}\n]{0,60}(jndi|\$\{(lower|upper|env|:)[^}\n]{0,20}\})",
    ),
    (
        "argument.code",
        High,
        ANY,
        "Code that reaches the system from inside of a value.",
        r"__(import|class|mro|subclasses|globals|builtins|reduce)__|\bos\.(system|popen|exec\w*)\s*\(|\bsubprocess\.(run|popen|call|check_output)\s*\(|\beval\s*\(\s*(atob|base64|compile|request|input)|\bchild_process\b|process\.(env|mainModule|binding)|\brequire\s*\(\s*['\x22](child_process|fs|net)",
    ),
    // Markup.
    (
        "argument.markup",
        Medium,
        &[Name, Path, Url, Header],
        "A value with active markup.",
        r"<\s*script\b|<\s*(img|svg|body|iframe|object|embed|input|details|video|audio|marquee|math|a|link|base|form)\b[^>]{0,200}(\bon\w+\s*=|javascript:|src\s*=\s*['\x22]?data:|srcdoc)|\bjavascript\s*:|\bvbscript\s*:|<\s*svg/on",
    ),
    (
        "argument.markup",
        Medium,
        &[Name, Url],
        "A value that breaks out of an attribute.",
        r"['\x22]\s*/?>\s*<|['\x22]\s+on(error|load|mouseover|focus|click)\s*=",
    ),
    // XML, LDAP, NoSQL, headers.
    (
        "argument.xml-entity",
        High,
        ANY,
        "An XML entity that loads a file or address.",
        r"<!(ENTITY|DOCTYPE)[^>]{0,200}(SYSTEM|PUBLIC|ENTITY)|<\?xml[^>]{0,100}\?>\s*<!|xi:include",
    ),
    (
        "argument.ldap",
        Medium,
        &[Name],
        "A value that changes an LDAP filter.",
        r"\*\)\s*\(\s*[|&!(]|\)\(\|?\(?(uid|cn|mail|objectclass|userpassword)=|\*\)\(\w+=\*",
    ),
    (
        "argument.nosql",
        Medium,
        &[Name, Url, Sql],
        "A value with an operator of a document database.",
        r"[\[{\x22']\s*\$(ne|gt|gte|lt|regex|where|exists|nin|or|func)\b|\|\|\s*['\x22]?1['\x22]?\s*==|;\s*return\s+true|\bthis\.password\b",
    ),
    (
        "argument.header",
        High,
        &[Header, Name, Url, Path],
        "A value that ends its header.",
        r"(%0d|\r)(%0a|\n)\s*[\w-]+\s*:|(%0a|\n)\s*(set-cookie|location|bcc|cc|to|content-\w+|host|x-[\w-]+)\s*:|%0d%0a|%e5%98%8a",
    ),
    ("argument.header", Medium, &[Header], "A header of more than one line.", r"[\r\n]"),
    // Deserialisation.
    (
        "argument.object",
        High,
        ANY,
        "A serialised object, which runs code when it is read.",
        r"^rO0AB|\baced0005|\bO:\d+:\x22\w+\x22:\d+:\{|!!(python|ruby|java)/|!!javax?\.|\bgASV[A-Za-z0-9+/]{16,}|\bc(os|posix|builtins)\nsystem|_\$\$ND_FUNC\$\$_|\bAAEAAAD/////|\bysoserial\b|\x22\$type\x22\s*:|\x22@type\x22\s*:\s*\x22(com|org|java)|!ruby/object",
    ),
    (
        "argument.file-inclusion",
        High,
        ANY,
        "A wrapper that includes a file or code.",
        r"\b(php|expect|phar|zip|glob|ogg|ssh2|rar)://|\bdata:text/(plain|html)[;,][^\n]{0,40}(base64|<\?|<script)|php://(filter|input)",
    ),
    // Traversal in what is no path.
    (
        "argument.traversal",
        High,
        &[Name, Url, Header, Template, Command],
        "A value that climbs out of a folder.",
        r"(\.\.[/\\]){2,}|(%2e%2e|\.\.)(%2f|%5c|%252f|%c0%af)|(%252e|%2e){2}|/\.\./\.\.|\.\.[/\\][^\s]*(etc/passwd|win\.ini|boot\.ini|\.ssh|\.env\b)|\.\.;/",
    ),
    (
        "argument.secret-file",
        High,
        &[Url, Name, Header],
        "A value that names a file of credentials.",
        r"(^|[\s:=/\x22'(])(/etc/(passwd|shadow|sudoers)|(~|/root|/home/\w+)/\.(ssh|aws|kube|gnupg|netrc)\b|[^\s]{0,40}\bid_(rsa|ed25519)\b)|\bc:\\+windows\\+(win\.ini|system32)|\bboot\.ini\b",
    ),
    ("argument.null-byte", High, ANY, "A value with a null byte.", r"%00|\x00|\\x00|\\0\b"),
    (
        "argument.option",
        Low,
        &[Path, Name],
        "A value that begins as an option does.",
        r"^--?\w[\w-]+=\S",
    ),
    (
        "argument.csv-formula",
        Low,
        &[Name],
        "A value that a spreadsheet would run.",
        r"^[=@][A-Za-z]+\([^\n]*\)|^=cmd\|",
    ),
    (
        "argument.environment",
        Low,
        &[Name, Url, Path],
        "A value that is filled from the environment.",
        r"\$\{?[A-Z][A-Z0-9_]{2,40}\}?|%[A-Z]{3,20}%",
    ),
];

/// The checks, compiled.
pub(crate) struct Checks {
    all: RegexSet,
}

impl Checks {
    pub(crate) fn new() -> Result<Checks, RuleFault> {
        let patterns = CHECKS.iter().map(|check| format!("(?i-u){}", check.4));
        let all = RegexSetBuilder::new(patterns).unicode(false).size_limit(32 << 20).build();
        let fault = |error: regex::Error| RuleFault {
            file: "arguments".into(),
            line: 1,
            reason: RuleReason::Pattern(error.to_string()),
        };
        Ok(Checks { all: all.map_err(fault)? })
    }

    pub(crate) fn judge(&self, text: &str, parameter: Parameter, verdicts: &mut Vec<Verdict>) {
        for (rule, severity, parameters, message, _) in
            self.all.matches(text.as_bytes()).iter().filter_map(|at| CHECKS.get(at))
        {
            if parameters.contains(&parameter) {
                verdicts.push(Verdict { rule, severity: *severity, message });
            }
        }
    }
}
