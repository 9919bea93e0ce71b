"""An app that imports steve before the checks are made."""

from steve.contrib.django import manager

assert manager
