# The ground: a Kubernetes on this machine, our images on it, a store in it. See tests/cluster/README.md.

.PHONY: set-up cluster cluster-down cluster-delete cluster-status images store upload

set-up: # all of it, slow parts side by side
	@$(GROUND) all
	@$(MAKE) $(VENV)

cluster: ## a Kubernetes on this machine; kubeconfig at .cluster/kubeconfig; NODES=2, ADDONS=keda,prometheus,gateway for more
	@$(GROUND) up --addons "$(ADDONS)" --nodes "$(NODES)"

cluster-down: ## stop it; what it holds stays in .cluster
	@$(GROUND) down

cluster-delete: ## stop it and delete what it holds
	@$(GROUND) delete

cluster-status: ## what runs
	@$(GROUND) status

images: cluster ## build our images and hand them to the cluster; names in .cluster/images.env
	@$(GROUND) images

store: cluster ## an S3 store in the cluster
	@$(GROUND) store

FROM ?=
NAME ?=

upload: $(VENV) ## put a model of yours into the demo's store; FROM=folder with source/ and data/, NAME=what it is called
	@$(RUN) examples/demo/upload.py --kubeconfig "$(or $(KUBECONFIG_IN),.cluster/kubeconfig)" --name "$(NAME)" "$(or $(FROM),$(error FROM is missing: the folder that holds source/ and data/))"
