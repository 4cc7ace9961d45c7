"""One module a part of the cluster; each has `check(cluster, wants)`, which yields findings and may raise Unanswered."""
