{{/*
A part's Deployment; the parts differ in what they run and keep.

root, part; image: serving or monitoring; args; port: its name, and portNumber; live, ready: paths of the probes; strategy;
replicas: nothing where an autoscaler decides; token: whether the pod talks to the API server; state: the volume of
/var/lib/everloop, or nothing; env, volumes, mounts: lists of its own.
*/}}
{{- define "everloop.deployment" -}}
{{- $root := .root -}}
{{- $values := index $root.Values .part -}}
{{- $place := dict "part" .part "root" $root -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  {{- include "everloop.metadata" (dict "name" (include "everloop.partName" $place) "part" .part "root" $root) | nindent 2 }}
spec:
  {{- with .replicas }}
  replicas: {{ . }}
  {{- end }}
  revisionHistoryLimit: 5
  strategy:
    {{- toYaml .strategy | nindent 4 }}
  selector:
    matchLabels:
      {{- include "everloop.selectorLabels" $place | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "everloop.labels" (dict "part" .part "root" $root "labels" $values.podLabels) | nindent 8 }}
      annotations:
        checksum/settings: {{ include "everloop.settings" $root | sha256sum }}
        kubectl.kubernetes.io/default-container: {{ .part }}
        {{- with include "everloop.annotations" (dict "root" $root "annotations" $values.podAnnotations) }}
        {{- . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "everloop.serviceAccountName" $place | quote }}
      automountServiceAccountToken: {{ .token | default false }}
      enableServiceLinks: false
      {{- with $root.Values.image.pullSecrets }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . | quote }}
        {{- end }}
      {{- end }}
      securityContext:
        {{- toYaml $values.podSecurityContext | nindent 8 }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . | quote }}
      {{- end }}
      terminationGracePeriodSeconds: {{ include "everloop.terminationSeconds" $place }}
      {{- with $values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.topologySpreadConstraints }}
      topologySpreadConstraints:
        {{- range . }}
        - {{- toYaml (merge (deepCopy .) (dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway")) | nindent 10 }}
          labelSelector:
            matchLabels:
              {{- include "everloop.selectorLabels" $place | nindent 14 }}
        {{- end }}
      {{- end }}
      containers:
        - name: {{ .part }}
          image: {{ include "everloop.image" (dict "image" .image "root" $root) | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          command: [everloop]
          args:
            {{- toYaml .args | nindent 12 }}
          env:
            - name: EVERLOOP_HOME
              value: {{ $root.Values.home | quote }}
            - name: EVERLOOP_SETTINGS
              valueFrom:
                configMapKeyRef:
                  name: {{ printf "%s-settings" (include "everloop.fullname" $root) | quote }}
                  key: settings.json
            {{- with $root.Values.image.registry }}
            - name: EVERLOOP_REGISTRY
              value: {{ . | quote }}
            {{- end }}
            {{- with $values.storeSecret | default $root.Values.store.existingSecret }}
            {{- $secret := . }}
            {{- range list "AWS_ACCESS_KEY_ID" "AWS_SECRET_ACCESS_KEY" "AWS_SESSION_TOKEN" "AWS_ENDPOINT_URL" "AWS_REGION" }}
            - name: {{ . }}
              valueFrom:
                secretKeyRef:
                  name: {{ $secret | quote }}
                  key: {{ . }}
                  optional: true
            {{- end }}
            {{- end }}
            {{- with .env }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- with $values.extraEnv }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
          ports:
            - name: {{ .port }}
              containerPort: {{ .portNumber | int }}
              protocol: TCP
          startupProbe:
            httpGet:
              path: {{ .live }}
              port: {{ .port }}
            {{- toYaml $values.startupProbe | nindent 12 }}
          livenessProbe:
            httpGet:
              path: {{ .live }}
              port: {{ .port }}
            {{- toYaml $values.livenessProbe | nindent 12 }}
          readinessProbe:
            httpGet:
              path: {{ .ready }}
              port: {{ .port }}
            {{- toYaml $values.readinessProbe | nindent 12 }}
          resources:
            {{- toYaml $values.resources | nindent 12 }}
          securityContext:
            {{- toYaml $values.securityContext | nindent 12 }}
          volumeMounts:
            - name: tmp
              mountPath: /tmp
            {{- if .state }}
            - name: state
              mountPath: /var/lib/everloop
            {{- end }}
            {{- with .mounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
            {{- with $values.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
      volumes:
        - name: tmp
          emptyDir: {}
        {{- with .state }}
        - name: state
          {{- toYaml . | nindent 10 }}
        {{- end }}
        {{- with .volumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
        {{- with $values.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
{{- end -}}

{{/* The Service of a part: port 80 goes to its named port. Call: include "everloop.service" (dict "part" "monitor" "port" "metrics" "root" $) */}}
{{- define "everloop.service" -}}
apiVersion: v1
kind: Service
metadata:
  {{- include "everloop.metadata" (dict "name" (include "everloop.partName" .) "part" .part "root" .root "annotations" .annotations) | nindent 2 }}
spec:
  type: {{ .type | default "ClusterIP" }}
  ports:
    - name: {{ .port }}
      port: 80
      targetPort: {{ .port }}
      protocol: TCP
      {{- if eq .port "http" }}
      appProtocol: http
      {{- end }}
  selector:
    {{- include "everloop.selectorLabels" . | nindent 4 }}
{{- end -}}

{{/*
The volume of a part that keeps state: a claim, or an emptyDir. Call: include "everloop.state" (dict "part" "controller" "root" $) | fromYaml
*/}}
{{- define "everloop.state" -}}
{{- $persistence := (index .root.Values .part).persistence -}}
{{- if $persistence.enabled -}}
persistentVolumeClaim:
  claimName: {{ $persistence.existingClaim | default (include "everloop.partName" .) | quote }}
{{- else -}}
emptyDir:
  sizeLimit: {{ $persistence.size }}
{{- end -}}
{{- end -}}

{{/* Its claim, unless there is one already. Call: include "everloop.claim" (dict "part" "controller" "root" $) */}}
{{- define "everloop.claim" -}}
{{- $persistence := (index .root.Values .part).persistence -}}
{{- if and $persistence.enabled (not $persistence.existingClaim) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  {{- $keep := ternary (dict "helm.sh/resource-policy" "keep") dict $persistence.keep }}
  {{- include "everloop.metadata" (dict "name" (include "everloop.partName" .) "part" .part "root" .root "annotations" (merge $keep $persistence.annotations)) | nindent 2 }}
spec:
  accessModes: [{{ $persistence.accessMode }}]
  {{- with $persistence.storageClass }}
  storageClassName: {{ . | quote }}
  {{- end }}
  resources:
    requests:
      storage: {{ $persistence.size }}
{{- end }}
{{- end -}}
