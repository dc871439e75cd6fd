"""Testinfra checks of the desired state: a second opinion that shares no decision with plan and render.

They run as pytest with settings of their own (`pytest.ini` here); `flows/verify.py` starts them.
"""
