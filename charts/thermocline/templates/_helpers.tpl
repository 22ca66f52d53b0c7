{{- define "thermocline.labels" -}}
app.kubernetes.io/part-of: thermocline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Of one component: (list . "agent"). */ -}}
{{- define "thermocline.component" -}}
{{ include "thermocline.labels" (index . 0) }}
app.kubernetes.io/name: thermocline-{{ index . 1 }}
{{- end }}

{{- /* These never change, for a selector cannot. */ -}}
{{- define "thermocline.selector" -}}
app.kubernetes.io/name: thermocline-{{ index . 1 }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
{{- end }}

{{- /* Without versions: pods that differ in these are made anew, and an agent that begins anew knows no heat. */ -}}
{{- define "thermocline.pod" -}}
app.kubernetes.io/part-of: thermocline
{{ include "thermocline.selector" . }}
{{- end }}

{{- /* Of one component: (list . .Values.agent). */ -}}
{{- define "thermocline.image" -}}
{{- $ := index . 0 -}}
{{- $registry := required "image.registry: write where you have pushed the images to, as docs/install.md says; there is no default, for nobody publishes any" $.Values.image.registry -}}
{{ $registry }}/{{ (index . 1).image }}{{ with (index . 1).digest }}@{{ . }}{{ else }}:{{ default $.Chart.AppVersion $.Values.image.tag }}{{ end }}
{{- end }}

{{- /* Names of what is not in a namespace say which release it is of. */ -}}
{{- define "thermocline.global" -}}
{{ printf "%s-%s-%s" .Release.Namespace .Release.Name "thermocline" | trunc 50 | trimSuffix "-" }}
{{- end }}
