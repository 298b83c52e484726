{{- define "eso.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* 52 at most: suffixes such as -metacontroller follow. */}}
{{- define "eso.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- $name := include "eso.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 48 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 48 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{/* Names of objects without a namespace: two releases of one name may stand in two namespaces. */}}
{{- define "eso.clusterName" -}}
{{- $name := include "eso.fullname" . }}
{{- if eq $name .Release.Namespace }}{{ $name }}{{ else }}{{ printf "%s-%s" .Release.Namespace $name | trunc 100 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "eso.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "eso.fullname" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end }}
{{- end }}

{{- define "eso.selectorLabels" -}}
app.kubernetes.io/name: {{ include "eso.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/* Of every object, and more. Those with which Helm and selectors find it are never replaced. */}}
{{- define "eso.labelsAnd" -}}
{{- $root := index . 0 }}
{{- $fixed := set (include "eso.selectorLabels" $root | fromYaml) "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- $chart := printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- $ours := dict "helm.sh/chart" $chart "app.kubernetes.io/version" $root.Chart.AppVersion "app.kubernetes.io/part-of" "external-service-operator" }}
{{- toYaml (merge $fixed (deepCopy (index . 1 | default dict)) (deepCopy $root.Values.commonLabels) $ours) }}
{{- end }}

{{- define "eso.labels" -}}
{{- include "eso.labelsAnd" (list . dict) }}
{{- end }}

{{- define "eso.image" -}}
{{- $image := .Values.image }}
{{- $name := $image.repository }}
{{- if $image.registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $image.registry) $name }}{{ end }}
{{- if $image.digest }}{{ printf "%s@%s" $name $image.digest }}{{ else }}{{ printf "%s:%s" $name (default .Chart.AppVersion $image.tag) }}{{ end }}
{{- end }}

{{/* A probe: ours, with the fields of the given one above it; or the given one alone if it has a handler. */}}
{{- define "eso.probe" -}}
{{- $handled := false }}
{{- range list "httpGet" "tcpSocket" "grpc" "exec" }}{{ if hasKey $.given . }}{{ $handled = true }}{{ end }}{{ end }}
{{- if $handled }}{{ toYaml .given }}{{ else }}{{ toYaml (merge (deepCopy .given) .ours) }}{{ end }}
{{- end }}

{{/* Of a setting that is a port. */}}
{{- define "eso.port" -}}
{{- int (get .config .name | default .default) }}
{{- end }}
{{- define "eso.hookPort" -}}{{ include "eso.port" (dict "config" .Values.config "name" "ESO_LISTEN_PORT" "default" 8080) }}{{- end }}
{{- define "eso.hookPagesPort" -}}{{ include "eso.port" (dict "config" .Values.config "name" "ESO_METRICS_LISTEN_PORT" "default" 8082) }}{{- end }}
{{- define "eso.sidecarPagesPort" -}}{{ include "eso.port" (dict "config" .Values.config "name" "ESO_HEALTH_LISTEN_PORT" "default" 8081) }}{{- end }}

{{- define "eso.tls" -}}{{ if ne .Values.webhook.tls.mode "none" }}true{{ end }}{{- end }}
{{- define "eso.servicePort" -}}
{{- if .Values.service.port }}{{ .Values.service.port }}{{ else if include "eso.tls" . }}443{{ else }}80{{ end }}
{{- end }}
{{- define "eso.tlsSecret" -}}
{{- if eq .Values.webhook.tls.mode "secret" }}{{ required "webhook.tls.secretName: write the name of your Secret (webhook.tls.mode is secret)" .Values.webhook.tls.secretName }}{{ else }}{{ include "eso.fullname" . }}-tls{{ end }}
{{- end }}
{{- define "eso.tokenSecret" -}}
{{- if eq .Values.webhook.token.mode "secret" }}{{ required "webhook.token.secretName: write the name of your Secret (webhook.token.mode is secret)" .Values.webhook.token.secretName }}{{ else }}{{ include "eso.fullname" . }}-token{{ end }}
{{- end }}
{{- define "eso.tokenKey" -}}{{ if eq .Values.webhook.token.mode "secret" }}{{ .Values.webhook.token.key }}{{ else }}token{{ end }}{{- end }}
{{- define "eso.acceptedKey" -}}
{{- if and (eq .Values.webhook.token.mode "secret") .Values.webhook.token.acceptedKey }}{{ .Values.webhook.token.acceptedKey }}{{ else }}{{ include "eso.tokenKey" . }}{{ end }}
{{- end }}

{{/* Names under which the hook is asked: the first is Metacontroller's, NAME.NAMESPACE without svc. */}}
{{- define "eso.hosts" -}}
{{- $name := include "eso.fullname" . }}
{{- list (printf "%s.%s" $name .Release.Namespace) (printf "%s.%s.svc" $name .Release.Namespace) $name | toJson }}
{{- end }}

{{/* A LabelSelector as the sidecar reads it: text. */}}
{{- define "eso.selectorText" -}}
{{- $parts := list }}
{{- range $key, $value := (.Values.scope.labelSelector.matchLabels | default dict) }}
{{- $parts = append $parts (printf "%s=%s" $key $value) }}
{{- end }}
{{- range (.Values.scope.labelSelector.matchExpressions | default list) }}
{{- if eq .operator "Exists" }}{{ $parts = append $parts .key }}
{{- else if eq .operator "DoesNotExist" }}{{ $parts = append $parts (printf "!%s" .key) }}
{{- else if eq .operator "In" }}{{ $parts = append $parts (printf "%s in (%s)" .key (join "," .values)) }}
{{- else if eq .operator "NotIn" }}{{ $parts = append $parts (printf "%s notin (%s)" .key (join "," .values)) }}
{{- end }}
{{- end }}
{{- join "," $parts }}
{{- end }}

{{/* The settings: the defaults, above them `config`, and what other values say. Each of the latter has one place to be written. */}}
{{- define "eso.settings" -}}
{{- $policy := .Values.addressPolicy }}
{{- $derived := dict
  "ESO_DENIED_CIDRS" (concat $policy.podCIDRs $policy.serviceCIDRs $policy.deniedCIDRs | uniq | join ",")
  "ESO_DENIED_PRESETS" (ternary "metadata" "" $policy.denyMetadata)
  "ESO_ALLOWED_CIDRS" (join "," $policy.allowedCIDRs)
  "ESO_PROBE_SECRETS" (toString .Values.probeSecrets.enabled)
  "ESO_LOG_LEVEL" .Values.log.level "ESO_LOG_FORMAT" .Values.log.format
}}
{{- $namespaces := .Values.scope.namespaces | uniq | sortAlpha | join "," }}
{{- if $namespaces }}{{ $_ := set $derived "ESO_NAMESPACES" $namespaces }}{{ end }}
{{- $selector := include "eso.selectorText" . }}
{{- if $selector }}{{ $_ := set $derived "ESO_LABEL_SELECTOR" $selector }}{{ end }}
{{- if include "eso.tls" . }}
{{- $_ := set $derived "ESO_TLS_CERT_FILE" "/etc/eso/tls/tls.crt" }}
{{- $_ := set $derived "ESO_TLS_KEY_FILE" "/etc/eso/tls/tls.key" }}
{{- if .Values.webhook.tls.client.caSecretName }}{{ $_ := set $derived "ESO_TLS_CLIENT_CA_FILE" (printf "/etc/eso/client-ca/%s" .Values.webhook.tls.client.caKey) }}{{ end }}
{{- end }}
{{- if ne .Values.webhook.token.mode "none" }}{{ $_ := set $derived "ESO_TOKEN_FILE" "/etc/eso/token/tokens" }}{{ end }}
{{- $instead := dict
  "ESO_LOG_LEVEL" "log.level" "ESO_LOG_FORMAT" "log.format"
  "ESO_DENIED_CIDRS" "addressPolicy.deniedCIDRs" "ESO_DENIED_PRESETS" "addressPolicy.denyMetadata"
  "ESO_ALLOWED_CIDRS" "addressPolicy.allowedCIDRs" "ESO_NAMESPACES" "scope.namespaces"
  "ESO_LABEL_SELECTOR" "scope.labelSelector" "ESO_TLS_CERT_FILE" "webhook.tls" "ESO_TLS_KEY_FILE" "webhook.tls"
  "ESO_TLS_CLIENT_CA_FILE" "webhook.tls.client" "ESO_TOKEN_FILE" "webhook.token"
  "ESO_PROBE_SECRETS" "probeSecrets.enabled"
  "ESO_POD_NAME" "nothing (each Pod knows its name)" "ESO_LEASE_NAMESPACE" "nothing (it is the release's namespace)"
}}
{{- $settings := omit (.Files.Get "files/settings.yaml" | fromYaml).data "ESO_DENIED_CIDRS" "ESO_DENIED_PRESETS" "ESO_ALLOWED_CIDRS" "ESO_PROBE_SECRETS" }}
{{- range $name, $value := .Values.config }}
{{- if hasKey $instead $name }}{{ fail (printf "config.%s: write %s instead" $name (get $instead $name)) }}{{ end }}
{{- if kindIs "invalid" $value }}{{ $_ := unset $settings $name }}{{ else }}{{ $_ := set $settings $name (ternary (int64 $value | toString) (toString $value) (and (kindIs "float64" $value) (eq (floor $value) $value))) }}{{ end }}
{{- end }}
{{- merge $derived $settings | toYaml }}
{{- end }}
