//! The files of `/etc` that programs look for, with nothing of the machine in them.

use super::identity::User;

/// Each file's path and text. `gated`: there is somebody who answers names on 127.0.0.1.
pub(super) fn files(user: &User, gated: bool) -> [(&'static str, String); 6] {
    let (uid, gid) = (user.inner(), user.gid());
    [
        (
            "/etc/passwd",
            format!(
                "server:x:{uid}:{gid}::/tmp:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/false\n"
            ),
        ),
        ("/etc/group", format!("server:x:{gid}:\nnogroup:x:65534:\n")),
        ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n".to_owned()),
        ("/etc/hosts", "127.0.0.1 localhost sandbox\n::1 localhost sandbox\n".to_owned()),
        ("/etc/hostname", "sandbox\n".to_owned()),
        (
            "/etc/resolv.conf",
            if gated { "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n" } else { "" }
                .to_owned(),
        ),
    ]
}
