{{/* Where InferenceServices lie. Call: include "everloop.releasesNamespace" $ */}}
{{- define "everloop.releasesNamespace" -}}
{{- $settings := include "everloop.settings" . | fromJson -}}
{{- $settings.kserve.namespace | default .Release.Namespace -}}
{{- end -}}

{{/*
Whether the rollout engine asks the API server for anything: create, follow, or nothing. Call: include "everloop.engineAsks" $
*/}}
{{- define "everloop.engineAsks" -}}
{{- $rollout := (include "everloop.settings" . | fromJson).rollout -}}
{{- if eq $rollout.predictors "kserve" -}}
{{- $rollout.kserve | default "create" -}}
{{- end -}}
{{- end -}}

{{/*
A Role and who has it. name, part, namespace, rules: text; root. Call: include "everloop.role" (dict ...)
*/}}
{{- define "everloop.role" -}}
{{- $account := include "everloop.serviceAccountName" (dict "part" .part "root" .root) -}}
{{- $place := dict "root" .root "part" .part "name" (include "everloop.partName" .) "namespace" .namespace -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  {{- include "everloop.metadata" $place | nindent 2 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "everloop.metadata" $place | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ $place.name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ $account | quote }}
    namespace: {{ .root.Release.Namespace | quote }}
{{- end -}}

{{/*
One rule of a network policy: peers and ports of one destination in .Values.networkPolicy.egress. Without peers it is every
address; without ports the destination is not used, and there is no rule. Call: include "everloop.egressTo" (dict "root" $ "name" "store")
*/}}
{{- define "everloop.egressTo" -}}
{{- with index .root.Values.networkPolicy.egress .name -}}
{{- if .ports -}}
- ports:
    {{- range .ports }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
    {{- if eq $.name "dns" }}
    {{- range .ports }}
    - port: {{ . }}
      protocol: UDP
    {{- end }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
