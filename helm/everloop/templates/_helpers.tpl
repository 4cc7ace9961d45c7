{{/*
Names. Every object is called FULLNAME-SUFFIX, and Kubernetes takes 63 characters: a fullname has at most 40. A longer one is
cut and ends with a hash of the whole, so that two long names that begin alike stay two.
*/}}
{{- define "everloop.fullname" -}}
{{- $name := .Release.Name -}}
{{- if .Values.fullnameOverride -}}
{{- $name = .Values.fullnameOverride -}}
{{- else if not (contains "everloop" .Release.Name) -}}
{{- $name = printf "%s-everloop" .Release.Name -}}
{{- end -}}
{{- if gt (len $name) 40 -}}
{{- printf "%s-%s" ($name | trunc 34 | trimSuffix "-" | trimSuffix ".") ($name | sha256sum | trunc 5) -}}
{{- else -}}
{{- $name | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The name of a part's objects. Call: include "everloop.partName" (dict "part" "gateway" "root" $) */}}
{{- define "everloop.partName" -}}
{{- printf "%s-%s" (include "everloop.fullname" .root) .part -}}
{{- end -}}

{{/*
What never changes about a part's pods: selectors are immutable. Call: include "everloop.selectorLabels" (dict "part" "gateway" "root" $)
*/}}
{{- define "everloop.selectorLabels" -}}
app.kubernetes.io/name: everloop
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
{{- with .part }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{/*
All labels of an object. commonLabels cannot take ours away. Call: include "everloop.labels" (dict "part" "gateway" "root" $), with
"labels" (dict ...) for more; without a part for an object that belongs to none.
*/}}
{{- define "everloop.labels" -}}
{{- $ours := include "everloop.selectorLabels" . | fromYaml -}}
{{- $_ := set $ours "app.kubernetes.io/version" (.root.Chart.AppVersion | toString) -}}
{{- $_ := set $ours "app.kubernetes.io/part-of" "everloop" -}}
{{- $_ := set $ours "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- $_ := set $ours "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_") -}}
{{- toYaml (merge $ours (deepCopy (.labels | default dict)) (deepCopy (.root.Values.commonLabels | default dict))) -}}
{{- end -}}

{{/*
An object's annotations: its own, then commonAnnotations; nothing when there are none.
Call: include "everloop.annotations" (dict "root" $ "annotations" .Values.gateway.service.annotations)
*/}}
{{- define "everloop.annotations" -}}
{{- $all := merge (deepCopy (.annotations | default dict)) (deepCopy (.root.Values.commonAnnotations | default dict)) -}}
{{- if $all }}{{ toYaml $all }}{{ end -}}
{{- end -}}

{{/*
The head of an object. Call: include "everloop.metadata" (dict "name" NAME "part" "gateway" "root" $ "annotations" (dict ...)) | nindent 2
*/}}
{{- define "everloop.metadata" -}}
name: {{ .name | quote }}
namespace: {{ .namespace | default .root.Release.Namespace | quote }}
labels:
  {{- include "everloop.labels" . | nindent 2 }}
{{- with include "everloop.annotations" . }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end -}}

{{/*
Who a part is to the API server and to the cloud. The releases' and the steps' accounts have fixed names, since KServe's and
Kubeflow's pods name them too. Call: include "everloop.serviceAccountName" (dict "part" "gateway" "root" $)
*/}}
{{- define "everloop.serviceAccountName" -}}
{{- $account := (index .root.Values .part).serviceAccount -}}
{{- if $account.name -}}
{{- $account.name -}}
{{- else if not $account.create -}}
default
{{- else if has .part (list "predictor" "steps") -}}
everloop-{{ .part }}
{{- else -}}
{{- include "everloop.partName" . -}}
{{- end -}}
{{- end -}}

{{/* An image by digest, or by tag; appVersion by default. Call: include "everloop.image" (dict "image" "serving" "root" $) */}}
{{- define "everloop.image" -}}
{{- $image := index .root.Values.image .image -}}
{{- $name := $image.repository -}}
{{- with .root.Values.image.registry -}}
{{- $name = printf "%s/%s" (trimSuffix "/" .) $name -}}
{{- end -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $name $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
