-- The key under which the secrets' own keys are sealed; itself sealed under the master key, which is elsewhere. One row.
create table root_key (
    one integer primary key check (one = 1),
    id text not null,
    -- What opens it.
    master text not null,
    wrapped blob not null
);

-- Sealed secrets. What is in plain sight here is bound to the value: changed, the value does not open.
create table secrets (
    name text primary key,
    version bigint not null,
    set_at bigint not null,
    expires bigint,
    owner text not null,
    key blob not null,
    value blob not null
);

-- Who changed what, in order. A change is recorded in the audit log by the gateway that takes it up.
create table secret_changes (
    id integer primary key,
    name text not null,
    version bigint not null,
    change text not null,
    by text not null,
    at bigint not null,
    recorded bigint not null
);
