-- Sources are named otherwise than before, where logs are named after pods: what one alert was told of under the name of another's
-- pod is looked at again, by way of a mark that fits no judgement.
update meta
set value = rtrim(value, replace(value, ' ', '')) || '-'
where key = 'alert_mark';
