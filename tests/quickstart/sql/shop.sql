-- A small shop; loads into MariaDB and MySQL. The same rows each time, so that two hosts can be compared.
CREATE DATABASE shop CHARACTER SET utf8mb4;
USE shop;

CREATE TABLE customer (
  id INT AUTO_INCREMENT PRIMARY KEY,
  name VARCHAR(80) NOT NULL,
  email VARCHAR(120) NOT NULL UNIQUE,
  city VARCHAR(40) NOT NULL,
  since DATE NOT NULL,
  INDEX (city)
) COMMENT = 'Those who buy';
INSERT INTO customer (name, email, city, since)
  WITH RECURSIVE number AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM number WHERE n < 999)
  SELECT
    CONCAT(ELT(1 + n % 7, 'Ana', 'João', 'Márcia', 'Zoë', 'Søren', '美咲', 'Łukasz'), ' ',
           ELT(1 + n DIV 7 % 5, 'Silva', 'Müller', 'O''Neill', 'Nguyễn', 'García')),
    CONCAT('customer', n, '@example.org'),
    ELT(1 + n % 4, 'São Paulo', 'Köln', 'Curitiba', 'Galway'),
    DATE_ADD('2021-01-04', INTERVAL n % 1500 DAY)
  FROM number ORDER BY n;

CREATE TABLE product (
  sku CHAR(8) PRIMARY KEY,
  title VARCHAR(80) NOT NULL,
  price DECIMAL(8, 2) NOT NULL CHECK (price > 0),
  price_with_tax DECIMAL(8, 2) GENERATED ALWAYS AS (price * 1.19) STORED,
  stock INT NOT NULL DEFAULT 0,
  photo BLOB
);
INSERT INTO product (sku, title, price, stock, photo)
  WITH RECURSIVE number AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM number WHERE n < 299)
  SELECT CONCAT('P-', LPAD(n, 6, '0')), CONCAT('Coffee No. ', n, ELT(1 + n % 3, ' ☕', ' (beans)', '')),
         5 + n % 40 + 0.99, n * 7 % 500, UNHEX(SHA2(n, 512))
  FROM number ORDER BY n;

CREATE TABLE purchase (
  id INT AUTO_INCREMENT PRIMARY KEY,
  customer_id INT NOT NULL,
  state ENUM('open', 'paid', 'sent', 'returned') NOT NULL,
  at DATETIME(3) NOT NULL,
  CONSTRAINT purchase_customer FOREIGN KEY (customer_id) REFERENCES customer (id)
);
INSERT INTO purchase (customer_id, state, at)
  WITH RECURSIVE visit AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM visit WHERE n < 9)
  SELECT id, 1 + (id + n) % 4, DATE_ADD('2025-01-01 08:00:00.125', INTERVAL n * 47000 + id * 47 MINUTE)
  FROM customer JOIN visit ORDER BY n, id;

CREATE TABLE item (
  purchase_id INT NOT NULL,
  sku CHAR(8) NOT NULL,
  pieces SMALLINT UNSIGNED NOT NULL,
  PRIMARY KEY (purchase_id, sku),
  CONSTRAINT item_purchase FOREIGN KEY (purchase_id) REFERENCES purchase (id) ON DELETE CASCADE,
  CONSTRAINT item_product FOREIGN KEY (sku) REFERENCES product (sku)
);
INSERT INTO item
  WITH RECURSIVE line AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM line WHERE n < 2)
  SELECT id, CONCAT('P-', LPAD((id * 31 + n * 97) % 300, 6, '0')), 1 + (id + n) % 5
  FROM purchase JOIN line ORDER BY id, n;

CREATE VIEW revenue AS
  SELECT DATE_FORMAT(p.at, '%Y-%m') AS month, COUNT(DISTINCT p.id) AS purchases, SUM(i.pieces * a.price) AS total
  FROM purchase p JOIN item i ON i.purchase_id = p.id JOIN product a ON a.sku = i.sku
  WHERE p.state <> 'returned' GROUP BY month;

DELIMITER //
CREATE TRIGGER item_leaves_stock AFTER INSERT ON item FOR EACH ROW
  UPDATE product SET stock = stock - NEW.pieces WHERE sku = NEW.sku//
CREATE FUNCTION spent_by(customer INT) RETURNS DECIMAL(10, 2) READS SQL DATA
  RETURN (SELECT SUM(i.pieces * a.price) FROM purchase p JOIN item i ON i.purchase_id = p.id
          JOIN product a ON a.sku = i.sku WHERE p.customer_id = customer)//
CREATE PROCEDURE close_purchase(IN which INT)
  UPDATE purchase SET state = 'sent' WHERE id = which AND state = 'paid'//
CREATE EVENT forget_open_purchases ON SCHEDULE EVERY 1 DAY STARTS '2040-01-01 03:00:00'
  DO DELETE FROM purchase WHERE state = 'open' AND at < NOW() - INTERVAL 90 DAY//
DELIMITER ;
