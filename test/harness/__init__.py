# SPDX-License-Identifier: Apache-2.0
"""What tests share: small real things, real nodes in their own processes, an arm to break."""
