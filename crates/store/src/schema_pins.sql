-- Digests alone can't be reviewed: what was approved is kept with its text, by the server's identity
-- (how it is reached), so that a new name for the same server changes nothing.
drop table definitions;

create table pins (
    identity text not null,
    kind text not null,
    name text not null,
    -- What the server was called when this was last shown.
    server text not null,
    seen blob not null,
    seen_text text not null,
    approved blob,
    approved_text text,
    rejected blob,
    revoked bigint not null,
    first_seen bigint not null,
    changed bigint not null,
    primary key (identity, kind, name)
);

-- Who decided what, in order. A decision is recorded in the audit log by the gateway that takes it up.
create table decisions (
    id integer primary key,
    identity text not null,
    kind text not null,
    name text not null,
    server text not null,
    digest blob not null,
    decision text not null,
    decider text not null,
    at bigint not null,
    recorded bigint not null
);
-- Signatures over digests that a definition does not carry itself: of the organisation that approved it.
create table signatures (
    kind text not null,
    digest blob not null,
    jws text not null,
    primary key (kind, digest, jws)
);
create index decisions_by_pin on decisions (identity, kind, name);
