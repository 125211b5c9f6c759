-- What the authorization server keeps. Times are seconds since 1970; hashes are SHA-256 of texts that are never kept themselves.

create table oauth_clients (
    id text primary key not null,
    document text not null,
    created bigint not null,
    used bigint not null
);

-- What a person let a client do, as known by their browser's cookie and by whom the provider said they were.
create table oauth_consents (
    browser blob not null,
    client text not null,
    redirect text not null,
    resource text not null,
    scopes text not null,
    subject text not null,
    granted bigint not null,
    primary key (browser, client, redirect, resource)
);

create table oauth_sessions (
    id text primary key not null,
    subject text not null,
    client text not null,
    payload text not null,
    provider text,
    epoch bigint not null,
    created bigint not null,
    used bigint not null,
    checked bigint not null,
    expires bigint not null,
    ended bigint,
    reason text
);
create index oauth_sessions_checked on oauth_sessions (checked) where ended is null;

create table oauth_codes (
    hash blob primary key not null,
    session text not null references oauth_sessions (id) on delete cascade,
    payload text not null,
    expires bigint not null,
    used bigint
);

create table oauth_refresh (
    hash blob primary key not null,
    session text not null references oauth_sessions (id) on delete cascade,
    expires bigint not null,
    used bigint
);
create index oauth_refresh_session on oauth_refresh (session);
create index oauth_codes_session on oauth_codes (session);

create table oauth_devices (
    hash blob primary key not null,
    user_code blob not null unique,
    payload text not null,
    session text,
    denied bigint,
    polled bigint not null,
    pause bigint not null,
    expires bigint not null
);

create table oauth_keys (
    kid text primary key not null,
    sealed text not null,
    created bigint not null
);

-- Assertions and upstream states that were used.
create table oauth_seen (
    hash blob primary key not null,
    expires bigint not null
);
