-- Fails, so that the transaction can only be rolled back. The text becomes the message in the server's log.
select pg_catalog.concat('steve rolls this transaction back: ', %(reason)s::pg_catalog.text)::integer
