-- Signed calls that were taken, so that none is taken twice, by whichever gateway: the hash of what was signed, and
-- until when it has to be known.
create table signed_calls (
    payload blob not null primary key,
    until bigint not null
);
create index signed_calls_until on signed_calls (until);
