-- Policies are in Cedar, or roles in TOML.
alter table policies rename column cedar to text;
alter table policies add column form text not null default 'cedar';
