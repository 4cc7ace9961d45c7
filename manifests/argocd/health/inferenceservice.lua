-- Health of a KServe InferenceService, for Argo CD (Lua 5.1 with the base and table libraries; os is there only by `require`).
-- Its table of cases is health_test.yaml; kustomization.yaml puts this file into ConfigMap argocd-cm.
--
-- What Argo CD's own check lacks, and this one has:
-- * A condition that is False is Degraded, unless its reason says that it merely waits; and waiting has an end. In Standard
--   mode KServe shows "MinimumReplicasUnavailable" alike for a pod that starts and for one that never will.
-- * Conditions that were written before the last change do not count. KServe's observedGeneration is of the Deployment (or
--   Knative Service) below, not of the InferenceService: it stays behind for good when a change does not reach the
--   Deployment, such as another number of replicas. So being behind counts for a minute after the change, and no longer.
-- * A service that Knative has scaled to zero is Healthy.

local os = require("os")

local SEEN_SECONDS = 60      -- within which KServe looks at a change
local WAITING_SECONDS = 600  -- Kubernetes' own progressDeadlineSeconds

-- Reasons of a False condition that come of themselves to an end.
local WAITING = {
  [""] = true,
  Deploying = true,
  MinimumReplicasUnavailable = true,
  ReplicaSetUpdated = true,
  NewReplicaSetCreated = true,
  RevisionMissing = true,
  Stopped = true,  -- of the time before it was started again
  ["Predictor ingress not created"] = true,
  ["Transformer ingress not created"] = true,
  ["Predictor Deployment NotReady"] = true,
  ["Transformer Deployment NotReady"] = true,
  ["PredictorConfigurationReady not ready"] = true,
  ["PredictorRouteReady not ready"] = true,
  HTTPRouteNotReady = true,
  HTTPRouteParentStatusNotAvailable = true,
}

-- Sums of other conditions: they are told last, and never decide where one that they sum up is known.
local SUMS = { Ready = true, LatestDeploymentReady = true, RoutesReady = true, IngressReady = true }

local function before(seconds)
  -- ISO times of one zone compare as text; the controller's container runs in UTC.
  return os.date("!%Y-%m-%dT%H:%M:%SZ", os.time() - seconds)
end

local function told(condition)
  local text = condition.type .. " is " .. condition.status
  if condition.reason ~= nil and condition.reason ~= "" then text = text .. " (" .. condition.reason .. ")" end
  if condition.message ~= nil and condition.message ~= "" then text = text .. ": " .. condition.message end
  return text
end

local function health(status, message)
  return { status = status, message = message }
end

-- Whether the specification was changed so lately that the conditions may be of the time before.
local function just_changed()
  local status, meta = obj.status, obj.metadata
  if status.observedGeneration == nil or meta.generation == nil then return false end
  if status.observedGeneration >= meta.generation then return false end
  local newest = ""
  for _, entry in ipairs(meta.managedFields or {}) do
    if entry.subresource ~= "status" and entry.time ~= nil and entry.time > newest then newest = entry.time end
  end
  return newest == "" or newest > before(SEEN_SECONDS)
end

local function stop_asked()
  local annotations = obj.metadata.annotations
  return annotations ~= nil and annotations["serving.kserve.io/stop"] == "true"
end

-- The conditions by type, and those that are not as they should be: causes first, sums last.
local function looked_at()
  local by_type, causes, sums = {}, {}, {}
  for _, condition in ipairs(obj.status.conditions) do
    by_type[condition.type] = condition
    if condition.status ~= "True" and condition.type ~= "Stopped" then
      table.insert(SUMS[condition.type] and sums or causes, condition)
    end
  end
  return by_type, #causes > 0 and causes or sums
end

local function of_model()
  local model = obj.status.modelStatus
  if model == nil then return nil end
  local transition = model.transitionStatus
  if transition == "BlockedByFailedLoad" or transition == "InvalidSpec" then
    local failure = model.lastFailureInfo
    local words = failure ~= nil and (failure.message or failure.reason) or nil
    return health("Degraded", transition .. (words ~= nil and words ~= "" and ": " .. words or ""))
  end
  local copies = model.copies
  local asleep = copies ~= nil and copies.totalCopies == 0
  if transition == "InProgress" and not asleep then return health("Progressing", "The model is being loaded") end
  return nil
end

local function of_conditions(unhappy)
  local worst = nil
  for _, condition in ipairs(unhappy) do
    local words = told(condition)
    if condition.status == "False" then
      local since = condition.lastTransitionTime
      if not WAITING[condition.reason or ""] then return health("Degraded", words) end
      if since ~= nil and since < before(WAITING_SECONDS) then
        return health("Degraded", words .. ", for more than " .. WAITING_SECONDS / 60 .. " minutes")
      end
    end
    if worst == nil then worst = health("Progressing", words) end
  end
  return worst
end

if obj.status == nil or obj.status.conditions == nil or #obj.status.conditions == 0 then
  return health("Progressing", "KServe has not looked at it yet")
end

local by_type, unhappy = looked_at()
if by_type.Stopped ~= nil and by_type.Stopped.status == "True" then return health("Suspended", "It is stopped") end
if stop_asked() then return health("Progressing", "It is being stopped") end
if just_changed() then
  return health("Progressing", "KServe has yet to see generation " .. obj.metadata.generation)
end

local model = of_model()
if model ~= nil and model.status == "Degraded" then return model end
local ready = by_type.Ready
if ready == nil then return health("Progressing", "KServe has not said yet whether it is ready") end
if ready.status ~= "True" then
  return of_conditions(unhappy) or health("Progressing", told(ready))
end
local canary = by_type.CanaryPredictorReady
if canary ~= nil and canary.status ~= "True" then return of_conditions({ canary }) end
return model or health("Healthy", "It is ready")
