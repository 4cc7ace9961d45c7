{{/*
Values that contradict each other are refused here, one sentence each; what is wrong by itself, values.schema.json refuses.
Call: include "everloop.validate" $
*/}}
{{- define "everloop.validate" -}}
{{- $values := .Values -}}
{{- $gateway := $values.gateway -}}
{{- if not $values.home -}}
{{- fail "home is not set: give the bucket for tables, releases and the ledger, as in --set home=s3://BUCKET/everloop" -}}
{{- end -}}

{{- $settings := include "everloop.settings" . | fromJson -}}
{{- $kind := include "everloop.historyKind" . -}}
{{- $several := or (gt (int $gateway.replicas) 1) (ne $gateway.autoscaling.kind "none") -}}
{{- if and $several (ne $kind "redis") -}}
{{- $what := ternary (printf "gateway.replicas is %d" (int $gateway.replicas)) (printf "gateway.autoscaling.kind is %s" $gateway.autoscaling.kind) (eq $gateway.autoscaling.kind "none") -}}
{{- fail (printf "%s, but each gateway would have a %s history of its own: give a Redis for all with gateway.history.existingSecret (key %s), or keep one replica" $what $kind $gateway.history.key) -}}
{{- end -}}
{{- if and (ne $gateway.autoscaling.kind "none") (gt (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) -}}
{{- fail (printf "gateway.autoscaling.minReplicas (%d) is more than maxReplicas (%d)" (int $gateway.autoscaling.minReplicas) (int $gateway.autoscaling.maxReplicas)) -}}
{{- end -}}
{{- if and $gateway.httpRoute.enabled (not $gateway.httpRoute.parentRefs) -}}
{{- fail "gateway.httpRoute.enabled needs gateway.httpRoute.parentRefs: name the Gateway that the route hangs on" -}}
{{- end -}}
{{- if and $gateway.ingress.enabled (not $gateway.ingress.hosts) -}}
{{- fail "gateway.ingress.enabled needs gateway.ingress.hosts: name at least one host" -}}
{{- end -}}

{{- $ports := dict "gateway" "gateway" "rollout" "rollout" "drift" "monitor" "retrain" "controller" -}}
{{- range $section, $part := $ports -}}
{{- $one := index $settings $section -}}
{{- if lt (int $one.port) 1024 -}}
{{- fail (printf "settings.%s.port is %d: the Service of the %s must know its port, and one below 1024 is root's; take 1024 to 65535" $section (int $one.port) $part) -}}
{{- end -}}
{{- if or (hasPrefix "127." $one.host) (has $one.host (list "localhost" "::1")) -}}
{{- fail (printf "settings.%s.host is %s, which nothing outside the pod reaches; leave it out" $section $one.host) -}}
{{- end -}}
{{- end -}}
{{- if eq $settings.rollout.predictors "local" -}}
{{- fail "settings.rollout.predictors is local, but on a cluster predictors run in pods of their own: take kserve, or urls with settings.rollout.predictor_url" -}}
{{- end -}}
{{- if and (eq $settings.rollout.predictors "urls") (not $settings.rollout.predictor_url) -}}
{{- fail "settings.rollout.predictors is urls: say where releases answer with settings.rollout.predictor_url, as in http://predictor-{short}" -}}
{{- end -}}
{{- if eq $settings.retrain.runner "local" -}}
{{- fail "settings.retrain.runner is local, but the controller's image cannot train: runs go to Kubeflow (controller.kubeflow.endpoint)" -}}
{{- end -}}
{{- if and (eq $settings.retrain.runner "kubeflow") (not $values.controller.kubeflow.endpoint) -}}
{{- fail "controller.kubeflow.endpoint is empty: name Kubeflow Pipelines' API, as in http://ml-pipeline.kubeflow.svc:8888" -}}
{{- end -}}

{{- $secrets := list
  (list "settings.serving.history" $settings.serving.history "gateway.history.existingSecret" $gateway.history.existingSecret)
  (list "settings.retrain.database" $settings.retrain.database "controller.database.existingSecret" $values.controller.database.existingSecret)
  (list "settings.tracking.uri" (dig "tracking" "uri" "" $settings) "controller.extraEnv, as MLFLOW_TRACKING_PASSWORD from a Secret" "")
-}}
{{- range $secrets -}}
{{- if and (index . 1) (index . 3) -}}
{{- fail (printf "%s and %s are both given; keep one" (index . 0) (index . 2)) -}}
{{- end -}}
{{- if regexMatch "://[^/@]*:[^/@]*@" (index . 1 | default "") -}}
{{- fail (printf "%s holds a password, and values are no place for one: give it by %s" (index . 0) (index . 2)) -}}
{{- end -}}
{{- end -}}

{{- range $part := list "gateway" "rollout" "monitor" "controller" -}}
{{- $one := index $values $part -}}
{{- range $name, $asked := $one.resources.requests -}}
{{- $most := index ($one.resources.limits | default dict) $name -}}
{{- if $most -}}
{{- if gt (include "everloop.amount" $asked | float64) (include "everloop.amount" $most | float64) -}}
{{- fail (printf "%s.resources asks for %s of %s, and may have %s at most; raise limits.%s or ask for less" $part (toString $asked) $name (toString $most) $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range $one.extraEnv -}}
{{- if or (has .name (list "EVERLOOP_HOME" "EVERLOOP_SETTINGS")) (hasPrefix "AWS_" .name) -}}
{{- fail (printf "%s.extraEnv sets %s, which the chart sets: use home, settings or store.existingSecret" $part .name) -}}
{{- end -}}
{{- end -}}
{{- range $one.extraVolumes -}}
{{- if has .name (list "tmp" "state" "token" "kubeflow") -}}
{{- fail (printf "%s.extraVolumes has one named %s, as the chart's own; take another name" $part .name) -}}
{{- end -}}
{{- end -}}
{{- range $one.extraVolumeMounts -}}
{{- if has (trimSuffix "/" .mountPath) (list "/tmp" "/var/lib/everloop" "/etc/everloop/token" "") -}}
{{- fail (printf "%s.extraVolumeMounts has %s, where the chart mounts its own; take another path" $part .mountPath) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A quantity as a number of its base unit. Call: include "everloop.amount" "512Mi" | float64 */}}
{{- define "everloop.amount" -}}
{{- $text := . | toString -}}
{{- if kindIs "float64" . }}{{ $text = . | int64 | toString }}{{ end -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- mulf (regexFind "^[0-9]+" $text | float64) (index $units (regexFind "[a-zA-Z]*$" $text)) -}}
{{- end -}}
