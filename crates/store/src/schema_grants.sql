-- What people let Bartizan have at servers: one for each owner and server, sealed by the gateway.
create table grants (
    server text not null,
    owner text not null,
    principal text not null,
    issuer text not null,
    scopes text not null,
    sealed text not null,
    updated bigint not null,
    primary key (server, owner)
);
