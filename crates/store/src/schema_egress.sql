-- What servers that are learned from reached.
create table egress_seen (
    server text not null,
    host text not null,
    port bigint not null,
    method text not null,
    path text not null,
    first_seen bigint not null,
    last_seen bigint not null,
    primary key (server, host, port, method, path)
);
