-- Whether there can be a row in `silent_sidecar` at all: something that shows a pod alive, or a log's end cut off. One row, asked first:
-- to prepare the view takes longer than many an answer.
create view silence_evidence as
select
  exists (select 1 from topology_object where kind = 'pod')
  or exists (select 1 from log where pending > 0 or note is not null)
  or exists (
    select 1
    from source
    where client_forwarded = 0
      and client_ip is not null
      and first_end_ms is not null
      and (
        proxy <> 'envoy'
        or shape in ('gateway', 'gateway-to-loopback')
        or (
          shape = 'not-sent'
          and log in (
            select l.id
            from log l
            left join log_sign g on g.log = l.id
            where coalesce(l.declared_role, g.roles) = 'gateway'
          )
        )
      )
  ) as is_possible;
