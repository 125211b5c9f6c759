-- What of a quota is used: one row for each limit and key, overwritten when its period ends.
create table quotas (
    name text not null,
    key text not null,
    period bigint not null,
    used bigint not null,
    primary key (name, key)
);

-- Requests that wait for a person's approval, and what came of them. `request` is what the approver sees.
create table approvals (
    id text primary key not null,
    digest blob not null,
    principal text not null,
    request text not null,
    state text not null,
    deciders text not null,
    created bigint not null,
    expires bigint not null
);
create index approvals_digest on approvals (digest);
