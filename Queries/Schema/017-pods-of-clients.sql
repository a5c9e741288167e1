-- Sources are named otherwise than before, where logs are named after pods: what one alert was told of under the name of another's
-- pod is looked at again, by way of a mark that fits no judgement.
update meta
set value = rtrim(value, replace(value, ' ', '')) || '-'
where key = 'alert_mark';

-- What asked its sidecar as a proxy over loopback is the sidecar's own pod.
update meta
set value = '0'
where key = 'judged'
  and exists (
    select 1
    from source
    where proxy = 'envoy'
      and shape = 'other'
      and client_forwarded = 0
      and (client_ip = '::1' or client_ip glob '127.*')
  );
update source
set shape = 'outbound', client_ip = proxy_ip
where proxy = 'envoy'
  and shape = 'other'
  and client_forwarded = 0
  and (client_ip = '::1' or client_ip glob '127.*');
