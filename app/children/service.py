"""The Service of an ExternalService: without selector, one unnamed TCP port, headless unless asked otherwise.

Canonical form: kubernetes:pkg/apis/core/v1/defaults.go and pkg/registry/core/service/storage/alloc.go.
"""

from app.children.metadata import Manifest, object_meta
from external_service.v1alpha1 import ExternalService, ServiceOptions

HEADLESS = {"clusterIP": "None", "clusterIPs": ["None"], "ipFamilyPolicy": "RequireDualStack"}


def desired(parent: ExternalService) -> Manifest:
    """The Service as the API server stores it, but for what depends on the cluster.

    A headless Service without selector is always stored as RequireDualStack with clusterIPs ["None"]; the order of its
    ipFamilies is the cluster's. With `clusterIP: Auto` addresses, families and their policy are all the cluster's.
    """
    options = parent.spec.service or ServiceOptions()
    port = parent.spec.port
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object_meta(parent, options.labels, options.annotations),
        "spec": {
            **(HEADLESS if options.clusterIP == "None" else {}),
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": port, "protocol": "TCP", "targetPort": port}],
            "sessionAffinity": "None",
            "type": "ClusterIP",
        },
    }
