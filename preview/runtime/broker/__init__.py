"""Privileges in a user namespace of the service's own, for a service that is not root."""

from preview.runtime.broker.broker import Broker, BrokerGone, NoBroker, open_broker

__all__ = ["Broker", "BrokerGone", "NoBroker", "open_broker"]
