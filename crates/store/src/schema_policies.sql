-- Policies in Cedar that every gateway of this store applies, beside those of its configuration.
create table policies (
    name text primary key,
    cedar text not null,
    by text not null,
    set_at bigint not null
);

-- Who changed what, in order. A change is recorded in the audit log by the gateway that takes it up.
create table policy_changes (
    id integer primary key,
    name text not null,
    change text not null,
    -- SHA-256 of the text that was put or removed.
    digest blob not null,
    by text not null,
    at bigint not null,
    recorded bigint not null
);
