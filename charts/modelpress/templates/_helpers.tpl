{{- define "modelpress.fullname" -}}
{{- if contains "modelpress" .Release.Name -}}
{{ .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-modelpress" .Release.Name | trunc 52 | trimSuffix "-" }}
{{- end -}}
{{- end -}}

{{- define "modelpress.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: modelpress
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* The operator's pods. The policy of compression pods lets in pods with the first two; see render/serving/network_policy.py. */}}
{{- define "modelpress.selectorLabels" -}}
app.kubernetes.io/name: modelpress
app.kubernetes.io/component: operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "modelpress.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "modelpress.fullname" .) }}
{{- else -}}
{{ required "serviceAccount.name is needed when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end -}}
{{- end -}}

{{- define "modelpress.operatorImage" -}}
{{ .Values.images.operator | default (printf "modelpress/operator:%s" .Chart.AppVersion) }}
{{- end -}}

{{- define "modelpress.compressorImage" -}}
{{ .Values.images.compressor | default (printf "modelpress/compressor:%s" .Chart.AppVersion) }}
{{- end -}}

{{/* Annotations of a resource definition. */}}
{{- define "modelpress.crdAnnotations" -}}
{{- if .Values.crds.keep }}
helm.sh/resource-policy: keep
{{- end }}
{{- end -}}

{{/* What the operator is told about this installation: render/installation.py reads it. Empty values are left out. */}}
{{- define "modelpress.installation" -}}
{{- $artifacts := dict -}}
{{- range $name, $value := .Values.artifacts -}}{{- if $value -}}{{- $_ := set $artifacts $name $value -}}{{- end -}}{{- end -}}
{{- $proxy := dict -}}
{{- range $name, $value := .Values.pods.proxy -}}{{- if $value -}}{{- $_ := set $proxy $name $value -}}{{- end -}}{{- end -}}
{{- $job := dict -}}
{{- with .Values.defaults.job.resources -}}{{- $_ := set $job "resources" . -}}{{- end -}}
{{- with .Values.defaults.job.timeout -}}{{- $_ := set $job "timeout" . -}}{{- end -}}
{{- with .Values.defaults.job.scratch.size -}}{{- $_ := set $job "scratch" (dict "size" .) -}}{{- end -}}
images:
  operator: {{ include "modelpress.operatorImage" . | quote }}
  compressor: {{ include "modelpress.compressorImage" . | quote }}
  triton: {{ .Values.images.triton | quote }}
tritonBackend: {{ .Values.triton.backend }}
{{- with .Values.imagePullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- with .Values.pods.imagePullSecrets }}
imagePullSecrets: {{ toJson . }}
{{- end }}
{{- with $artifacts }}
artifacts: {{ toJson . }}
{{- end }}
{{- with $job }}
job: {{ toJson . }}
{{- end }}
{{- with .Values.defaults.serving.resources }}
serving: {{ toJson (dict "resources" .) }}
{{- end }}
helperResources: {{ toJson .Values.pods.helperResources }}
drainSeconds: {{ .Values.pods.drainSeconds }}
clusterDomain: {{ .Values.clusterDomain | quote }}
operatorNamespace: {{ .Release.Namespace | quote }}
{{- if .Values.prometheus.address }}
prometheus: {{ toJson .Values.prometheus }}
{{- end }}
{{- $gateway := dict -}}
{{- range $name, $value := .Values.gateway -}}{{- if $value -}}{{- $_ := set $gateway $name $value -}}{{- end -}}{{- end }}
{{- with $gateway }}
gateway: {{ toJson . }}
{{- end }}
{{- with $proxy }}
proxy: {{ toJson . }}
{{- end }}
{{- with .Values.pods.certificateAuthorities }}
{{- if .configMap }}
certificateAuthorities: {{ toJson (dict "configMap" .configMap "key" .key) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Rights in the namespaces of models: what the loop uses, and no more. Secrets are not among them. */}}
{{- define "modelpress.rules" -}}
- apiGroups: [modelpress.io]
  resources: [compressedmodels]
  verbs: [get, list, watch]
- apiGroups: [modelpress.io]
  resources: [modelartifacts, modelrevisions]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [modelpress.io]
  resources: [compressedmodels/status, modelartifacts/status, modelrevisions/status]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [networking.k8s.io]
  resources: [networkpolicies]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes, grpcroutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}
