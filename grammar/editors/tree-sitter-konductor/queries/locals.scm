; A pipeline, a template and a stage each have names of their own.

[
  (pipeline)
  (template)
  (stage)
] @local.scope

(param_declaration
  name: (identifier) @local.definition.parameter)

(loop
  variable: (identifier) @local.definition.var)

(resource
  name: (identifier) @local.definition.var)

(reference
  name: (identifier) @local.reference)

(interpolation
  .
  (identifier) @local.reference)

(hold
  resource: (identifier) @local.reference)

(mount
  workspace: (identifier) @local.reference)
