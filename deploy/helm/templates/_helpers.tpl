{{/* Names, labels, and the parts of a pod that all roles share. */}}

{{- define "webhooks.name" -}}
{{- /* Pods' names and their revisions' are labels, 63 characters at most. */}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) (contains .Chart.Name .Release.Name) | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* selector: what never changes. Takes (dict "root" $ "role" "api"). */}}
{{- define "webhooks.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end }}

{{- define "webhooks.labels" -}}
{{ include "webhooks.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "webhooks.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "webhooks.secret" -}}
{{ .Values.secrets.existing | default (include "webhooks.name" .) }}
{{- end }}

{{/* A variable from the Secret. Takes (dict "secret" name "key" … "variable" … "optional" bool). */}}
{{- define "webhooks.fromSecret" -}}
- name: {{ .variable }}
  valueFrom:
    secretKeyRef:
      name: {{ .secret }}
      key: {{ .key }}
      {{- if .optional }}
      optional: true
      {{- end }}
{{- end }}

{{/*
env: what a role needs and no more. Takes (dict "root" $ "role" … "secret" name "postgres" bool
"encrypts" bool "admin" bool "traces" bool).
*/}}
{{- define "webhooks.env" -}}
{{- $values := .root.Values }}
{{- $secret := .secret }}
{{- include "webhooks.once" $values.settings }}
- name: WEBHOOKS_KAFKA__BOOTSTRAP_SERVERS
  value: {{ $values.kafka.bootstrapServers | quote }}
- name: WEBHOOKS_KAFKA__GROUP
  value: {{ $values.kafka.group | quote }}
- name: WEBHOOKS_KAFKA__TOPICS
  value: {{ join "," $values.kafka.topics | quote }}
- name: WEBHOOKS_KAFKA__REPLICATION_FACTOR
  value: {{ $values.kafka.replicationFactor | quote }}
- name: WEBHOOKS_KAFKA__SECURITY_PROTOCOL
  value: {{ $values.kafka.securityProtocol | quote }}
{{- if hasPrefix "SASL" $values.kafka.securityProtocol }}
- name: WEBHOOKS_KAFKA__SASL_MECHANISM
  value: {{ $values.kafka.saslMechanism | quote }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "kafka-sasl-username" "variable" "WEBHOOKS_KAFKA__SASL_USERNAME") }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "kafka-sasl-password" "variable" "WEBHOOKS_KAFKA__SASL_PASSWORD") }}
{{- end }}
{{- if $values.kafka.tls.secret }}
- name: WEBHOOKS_KAFKA__SSL_CAFILE
  value: /etc/webhooks/kafka/ca.crt
{{- if $values.kafka.tls.clientCertificate }}
- name: WEBHOOKS_KAFKA__SSL_CERTFILE
  value: /etc/webhooks/kafka/tls.crt
- name: WEBHOOKS_KAFKA__SSL_KEYFILE
  value: /etc/webhooks/kafka/tls.key
{{- end }}
{{- end }}
{{- if .postgres }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "postgres-dsn" "variable" "WEBHOOKS_POSTGRES__DSN") }}
- name: PGSSLMODE
  value: {{ $values.postgres.sslMode }}
{{- if $values.postgres.tls.secret }}
- name: PGSSLROOTCERT
  value: /etc/webhooks/postgres/ca.crt
{{- end }}
{{- end }}
{{- if .encrypts }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "secrets-key" "variable" "WEBHOOKS_SECRETS__KEY") }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "secrets-previous-keys" "variable" "WEBHOOKS_SECRETS__PREVIOUS_KEYS" "optional" true) }}
{{- end }}
{{- if and .encrypts $values.receivers.ca.secret }}
- name: WEBHOOKS_DELIVER__CA_FILE
  value: /etc/webhooks/receivers-ca/ca.crt
{{- end }}
{{- if and .encrypts $values.receivers.tls.secret }}
- name: WEBHOOKS_DELIVER__CLIENT_CERT_FILE
  value: /etc/webhooks/receivers/tls.crt
- name: WEBHOOKS_DELIVER__CLIENT_KEY_FILE
  value: /etc/webhooks/receivers/tls.key
{{- end }}
{{- if .traces }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "otlp-headers" "variable" "OTEL_EXPORTER_OTLP_HEADERS" "optional" true) }}
{{- end }}
{{- if .admin }}
{{ include "webhooks.fromSecret" (dict "secret" $secret "key" "api-admin-key" "variable" "WEBHOOKS_API__ADMIN_KEY") }}
{{- end }}
{{- range $name, $value := $values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* once: a setting that the chart makes of a value, or takes from the Secret, has no second place. */}}
{{- define "webhooks.once" -}}
{{- $own := list }}
{{- range $name, $_ := . }}
{{- if or (regexMatch "^WEBHOOKS_KAFKA__(BOOTSTRAP_SERVERS|GROUP|TOPICS|REPLICATION_FACTOR|SECURITY_PROTOCOL|SASL_.*|SSL_.*)$" $name) (regexMatch "^WEBHOOKS_(POSTGRES__DSN|SECRETS__.*|API__ADMIN_KEY|.*__LISTEN|DISPATCH__INSTANCE|DISPATCH__DRAIN_SECONDS|DELIVER__CA_FILE|DELIVER__CLIENT_.*)$" $name) (eq $name "OTEL_EXPORTER_OTLP_HEADERS") }}
{{- $own = append $own $name }}
{{- end }}
{{- end }}
{{- with $own }}
{{- fail (printf "settings: %s: the chart has a value, or a key of the Secret, for it" (join ", " .)) }}
{{- end }}
{{- end }}

{{/* mounts, volumes: certificates. Take (dict "Values" … "receivers" bool): whether it calls receivers. */}}
{{- define "webhooks.mounts" -}}
{{- if .Values.kafka.tls.secret }}
- { name: kafka-tls, mountPath: /etc/webhooks/kafka, readOnly: true }
{{- end }}
{{- if .Values.postgres.tls.secret }}
- { name: postgres-tls, mountPath: /etc/webhooks/postgres, readOnly: true }
{{- end }}
{{- if and .receivers .Values.receivers.tls.secret }}
- { name: receivers-tls, mountPath: /etc/webhooks/receivers, readOnly: true }
{{- end }}
{{- if and .receivers .Values.receivers.ca.secret }}
- { name: receivers-ca, mountPath: /etc/webhooks/receivers-ca, readOnly: true }
{{- end }}
{{- end }}

{{- define "webhooks.volumes" -}}
{{- if .Values.kafka.tls.secret }}
- name: kafka-tls
  secret: { secretName: {{ .Values.kafka.tls.secret }}, defaultMode: 0440 }
{{- end }}
{{- if .Values.postgres.tls.secret }}
- name: postgres-tls
  secret: { secretName: {{ .Values.postgres.tls.secret }}, defaultMode: 0440 }
{{- end }}
{{- if and .receivers .Values.receivers.tls.secret }}
- name: receivers-tls
  secret: { secretName: {{ .Values.receivers.tls.secret }}, defaultMode: 0440 }
{{- end }}
{{- if and .receivers .Values.receivers.ca.secret }}
- name: receivers-ca
  secret: { secretName: {{ .Values.receivers.ca.secret }}, defaultMode: 0440 }
{{- end }}
{{- end }}

{{/* pod: what a pod's spec begins with. Takes (dict "root" $ "role" …). */}}
{{- define "webhooks.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false # they would be read as settings
dnsConfig: # receivers' names are whole: not looked for in the cluster first
  options: [{ name: ndots, value: "2" }]
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  seccompProfile: { type: RuntimeDefault }
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "webhooks.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "webhooks.selector" $ | nindent 8 }}
  {{- end }}
{{- end }}

{{- define "webhooks.container" -}}
image: {{ include "webhooks.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* probes: health and readiness stand on a port of their own. */}}
{{- define "webhooks.probes" -}}
startupProbe: # the program is loaded; while it waits for Kafka and Postgres, 60 s by default, it is alive, not ready
  httpGet: { path: /healthz, port: observe }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 15
readinessProbe: # Kafka and Postgres answered; a dispatcher: its partitions are loaded; the API: Postgres answers
  httpGet: { path: /readyz, port: observe }
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe: # the loop moves; a poll that doesn't ends the process by itself
  httpGet: { path: /healthz, port: observe }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 6
{{- end }}

{{/* scaling: how fast replicas come and go. Each step down moves partitions: rarely, one at a time. */}}
{{- define "webhooks.scaling" -}}
scaleDown:
  stabilizationWindowSeconds: 600
  policies: [{ type: Pods, value: 1, periodSeconds: 120 }]
{{- end }}
