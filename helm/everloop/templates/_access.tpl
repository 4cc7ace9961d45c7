{{/*
What roles and network policies ask of the settings. `dig` takes plain maps only, and settings may be left out altogether.
Call: include "everloop.setting" (dict "root" $ "section" "rollout" "name" "predictors" "default" "kserve")
*/}}
{{- define "everloop.setting" -}}
{{- $section := index (.root.Values.settings | default dict) .section | default dict -}}
{{- if hasKey $section .name -}}
{{- index $section .name -}}
{{- else -}}
{{- .default -}}
{{- end -}}
{{- end -}}

{{/* Where InferenceServices lie. Call: include "everloop.releasesNamespace" $ */}}
{{- define "everloop.releasesNamespace" -}}
{{- include "everloop.setting" (dict "root" . "section" "kserve" "name" "namespace" "default" "") | default .Release.Namespace -}}
{{- end -}}

{{/*
Whether the rollout engine asks the API server for anything: create, follow, or nothing. Call: include "everloop.engineAsks" $
*/}}
{{- define "everloop.engineAsks" -}}
{{- if eq (include "everloop.setting" (dict "root" . "section" "rollout" "name" "predictors" "default" "kserve")) "kserve" -}}
{{- include "everloop.setting" (dict "root" . "section" "rollout" "name" "kserve" "default" "create") -}}
{{- end -}}
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
