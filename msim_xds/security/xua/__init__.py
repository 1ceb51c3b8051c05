"""User assertions of requests (ITI TF-2 3.40): SAML 2.0 in WS-Security.

``guard`` stands at an endpoint, ``validator`` judges one assertion, ``setup`` makes both from the settings.
"""
