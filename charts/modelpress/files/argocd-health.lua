-- Health of a CompressedModel for Argo CD: resource.customizations.health.modelpress.io_CompressedModel in argocd-cm.
-- Healthy: what the spec says is what answers. Degraded: it will not get there by itself. Progressing: on its way.
-- Suspended: told to wait. A status of an older generation says nothing about this one.
local function condition(name)
  if obj.status ~= nil and obj.status.conditions ~= nil then
    for _, found in ipairs(obj.status.conditions) do
      if found.type == name then
        return found
      end
    end
  end
  return nil
end

local function health(status, message)
  return {status = status, message = message or ""}
end

if obj.metadata.deletionTimestamp ~= nil then
  return health("Progressing", "being deleted")
end
local ready = condition("Ready")
if ready == nil or (obj.status.observedGeneration or 0) < (obj.metadata.generation or 0) then
  return health("Progressing", "waiting for the operator to see this generation")
end
if obj.spec.suspend == true or ready.reason == "Suspended" then
  return health("Suspended", ready.message)
end
if ready.status == "True" then
  return health("Healthy", ready.message)
end
local stalled = condition("Stalled")
if stalled ~= nil and stalled.status == "True" then
  return health("Degraded", stalled.message ~= "" and stalled.message or ready.message)
end
if ready.reason == "Paused" then
  return health("Suspended", ready.message)
end
return health("Progressing", ready.message)
