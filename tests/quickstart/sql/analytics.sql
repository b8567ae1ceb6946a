-- A second, tiny database of the same server.
CREATE DATABASE analytics;
\connect analytics
CREATE TABLE visit (day date PRIMARY KEY, visitors integer NOT NULL);
INSERT INTO visit SELECT date '2026-01-01' + n, 100 + n * 37 % 400 FROM generate_series(0, 59) AS n;
