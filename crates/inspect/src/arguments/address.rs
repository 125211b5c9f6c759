//! URLs that lead to where the server, not the caller, has access.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Verdict;
use crate::Severity;

const METADATA: [&str; 7] = [
    "169.254.169.254",
    "metadata.google.internal",
    "100.100.100.200",
    "169.254.170.2",
    "metadata.azure",
    "instance-data",
    "fd00:ec2::254",
];
const SCHEMES: [&str; 13] = [
    "gopher://",
    "dict://",
    "file://",
    "ldap://",
    "ldaps://",
    "tftp://",
    "sftp://",
    "jar:",
    "netdoc:",
    "phar://",
    "php://",
    "expect://",
    "javascript:",
];
/// Names that resolve to what is in them, or to the loopback.
const REBINDERS: [&str; 8] = [
    ".nip.io",
    ".xip.io",
    ".sslip.io",
    "localtest.me",
    "lvh.me",
    ".localdomain",
    "spoofed.burpcollaborator",
    "127.0.0.1.",
];

pub(crate) fn judge(text: &str, verdicts: &mut Vec<Verdict>) {
    let mut verdict = |rule, severity, message| verdicts.push(Verdict { rule, severity, message });
    let lower = text.trim().to_lowercase();
    if SCHEMES.iter().any(|scheme| lower.contains(scheme)) {
        verdict(
            "argument.url-scheme",
            Severity::High,
            "A URL of a scheme that reaches files or other services.",
        );
    }
    let Some(host) = host(&lower) else { return };
    if METADATA.iter().any(|name| host.contains(name)) {
        verdict(
            "argument.metadata-service",
            Severity::High,
            "A URL of a cloud's metadata service, which hands out credentials.",
        );
        return;
    }
    if REBINDERS.iter().any(|name| host.contains(name)) {
        verdict(
            "argument.private-address",
            Severity::Medium,
            "A name that resolves to a private address.",
        );
        return;
    }
    match (ip(host), host) {
        (Some((address, odd)), _) if is_inside(address) => {
            let severity = if odd { Severity::High } else { Severity::Medium };
            verdict(
                "argument.private-address",
                severity,
                "A URL of the machine itself or its network.",
            );
        }
        (
            _,
            "localhost"
            | "localhost."
            | "ip6-localhost"
            | "host.docker.internal"
            | "kubernetes.default.svc",
        ) => {
            verdict(
                "argument.private-address",
                Severity::Medium,
                "A URL of the machine itself or its network.",
            );
        }
        _ => {}
    }
}

/// The host of a URL, or the text itself if it is nothing but one.
fn host(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.trim_start_matches(['/', '\\']);
    let authority = rest.split(['/', '?', '#', '\\', ' ']).next()?;
    let host = authority.rsplit('@').next()?;
    if let Some(inside) = host.strip_prefix('[') {
        return inside.split(']').next();
    }
    let host = if host.matches(':').count() == 1 { host.split(':').next()? } else { host };
    (!host.is_empty()).then_some(host)
}

/// An address, and whether it is written in a way that only serves to get past a filter.
fn ip(host: &str) -> Option<(IpAddr, bool)> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some((address, false));
    }
    // As the C library reads it: decimal, octal or hexadecimal, of one to four parts.
    let parts: Vec<&str> = host.trim_end_matches('.').split('.').collect();
    if parts.len() > 4 {
        return None;
    }
    let number = |part: &&str| match (
        part.strip_prefix("0x"),
        part.strip_prefix('0').filter(|rest| !rest.is_empty()),
    ) {
        (Some(hex), _) => u32::from_str_radix(hex, 16).ok(),
        (None, Some(octal)) => u32::from_str_radix(octal, 8).ok(),
        (None, None) => part.parse().ok(),
    };
    let numbers: Vec<u32> = parts.iter().map(number).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    let mut address = u64::from(*last);
    for (place, part) in first.iter().enumerate() {
        if *part > 255 {
            return None;
        }
        address |= u64::from(*part) << (24 - 8 * place);
    }
    let address = u32::try_from(address)
        .ok()
        .filter(|address| *address > 255 || numbers.len() > 1 || *address == 0)?;
    Some((IpAddr::V4(Ipv4Addr::from(address)), true))
}

fn is_inside(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(four) => {
            four.is_loopback()
                || four.is_private()
                || four.is_link_local()
                || four.is_unspecified()
                || four.octets()[0] == 0
        }
        IpAddr::V6(six) => {
            six.is_loopback()
                || six.is_unspecified()
                || matches!(six.segments()[0], 0xfc00..=0xfdff | 0xfe80..=0xfebf)
                || six
                    .to_ipv4()
                    .is_some_and(|four| six != Ipv6Addr::LOCALHOST && is_inside(IpAddr::V4(four)))
        }
    }
}
