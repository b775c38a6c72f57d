"""Failovers of a cluster of Patroni under the load of two servers."""
