-- What conversations have read: a gateway that starts anew knows it still. `labels` is a set of bits,
-- `sources` JSON: the call that brought each.
create table flows (
    principal text not null,
    conversation text not null,
    labels bigint not null,
    sources text not null,
    at bigint not null,
    primary key (principal, conversation)
);
