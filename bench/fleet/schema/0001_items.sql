create table items (id int primary key, name text not null, hits int not null default 0);
insert into items select n, 'item ' || n from generate_series(1, 1000) n;
