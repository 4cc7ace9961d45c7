{{/*
The settings as the parts get them, as JSON: what a cluster needs, then what .Values.settings says. The whole of it is checked
by the parts themselves when they start, and by values.schema.json before. Call: include "everloop.settings" $ | fromJson
*/}}
{{- define "everloop.settings" -}}
{{- $image := .Values.image -}}
{{- $gateway := dict "host" "0.0.0.0" "port" 8000 -}}
{{- $serving := dict "drain_seconds" 5 -}}
{{- if not .Values.gateway.history.existingSecret -}}
{{- $_ := set $serving "history" "sqlite:////var/lib/everloop/history.sqlite" -}}
{{- end -}}
{{- $retrain := dict "host" "0.0.0.0" "port" 8090 "runner" "kubeflow" -}}
{{- if not .Values.controller.database.existingSecret -}}
{{- $_ := set $retrain "database" "sqlite:////var/lib/everloop/controller.sqlite" -}}
{{- end -}}
{{- if .Values.controller.token.existingSecret -}}
{{- $_ := set $retrain "token_file" (printf "/etc/everloop/token/%s" .Values.controller.token.key) -}}
{{- end -}}
{{- $kserve := dict
  "image" (include "everloop.image" (dict "image" "serving" "root" .))
  "image_pull_secrets" $image.pullSecrets
  "service_account" (include "everloop.serviceAccountName" (dict "part" "predictor" "root" .))
  "storage_secret" .Values.store.existingSecret
-}}
{{- $ours := dict
  "serving" $serving
  "gateway" $gateway
  "log" (dict "spool" "/var/lib/everloop/spool")
  "drift" (dict "host" "0.0.0.0" "port" 8091)
  "rollout" (dict "host" "0.0.0.0" "port" 8092 "predictors" "kserve")
  "retrain" $retrain
  "kserve" $kserve
-}}
{{- mergeOverwrite $ours (deepCopy (.Values.settings | default dict)) | toJson -}}
{{- end -}}

{{/* Where the online history lies: redis, memory or sqlite. Call: include "everloop.historyKind" $ */}}
{{- define "everloop.historyKind" -}}
{{- $url := index (include "everloop.settings" . | fromJson) "serving" "history" | default "" -}}
{{- if .Values.gateway.history.existingSecret -}}redis
{{- else if hasPrefix "redis" $url -}}redis
{{- else if hasPrefix "memory" $url -}}memory
{{- else -}}sqlite
{{- end -}}
{{- end -}}

{{/* Whether the controller keeps its states in PostgreSQL; empty for no. Call: include "everloop.hasDatabase" $ */}}
{{- define "everloop.hasDatabase" -}}
{{- $url := index (include "everloop.settings" . | fromJson) "retrain" "database" | default "" -}}
{{- if or .Values.controller.database.existingSecret (hasPrefix "postgres" $url) -}}true{{- end -}}
{{- end -}}

{{/*
Seconds from SIGTERM to SIGKILL: what is asked for, and never less than draining and the last answers take.
Call: include "everloop.terminationSeconds" (dict "part" "gateway" "root" $)
*/}}
{{- define "everloop.terminationSeconds" -}}
{{- $asked := (index .root.Values .part).terminationGracePeriodSeconds -}}
{{- if eq .part "gateway" -}}
{{- $serving := (include "everloop.settings" .root | fromJson).serving -}}
{{- max $asked (add (ceil $serving.drain_seconds) (ceil ($serving.grace_seconds | default 10)) 10) -}}
{{- else -}}
{{- $asked | int -}}
{{- end -}}
{{- end -}}

{{/*
Whether an object of another project's kind is made: empty for no. Call: include "everloop.made" (dict "enabled" FLAG "api" "monitoring.coreos.com/v1/ServiceMonitor" "root" $)
*/}}
{{- define "everloop.made" -}}
{{- if eq (toString .enabled) "auto" -}}
{{- if .root.Capabilities.APIVersions.Has .api -}}true{{- end -}}
{{- else if .enabled -}}
true
{{- end -}}
{{- end -}}
