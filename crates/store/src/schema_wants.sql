-- What servers that are learned from called and asked for.
create table wants_seen (
    server text not null,
    kind text not null,
    value text not null,
    first_seen bigint not null,
    last_seen bigint not null,
    primary key (server, kind, value)
);
