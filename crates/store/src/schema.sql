create table schema_version (version bigint not null);
insert into schema_version (version) values (1);

create table meta (
    key text primary key not null,
    value text not null
);

-- Times are seconds since 1970; roles are separated by line feeds.
create table tokens (
    hash blob primary key not null,
    name text not null,
    roles text not null,
    created bigint not null,
    expires bigint,
    revoked bigint
);
create unique index tokens_live on tokens (name) where revoked is null;

create table definitions (
    server text not null,
    kind text not null,
    name text not null,
    digest blob not null,
    first_seen bigint not null,
    changed bigint not null,
    primary key (server, kind, name)
);
