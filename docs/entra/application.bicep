extension microsoftGraphV1

@description('Where clients reach the gateway.')
param publicUrl string = 'https://mcp.example.com'

@description('The object (principal) ID of the managed identity that the gateway runs as; empty where there is none.')
param machine string = ''

@description('The certificate that the gateway signs with, in base64 without its PEM lines; empty where there is none.')
param certificate string = ''

var graphId = '00000003-0000-0000-c000-000000000000'
var userReadAll = 'df021288-bdef-4463-88db-98f22de89214'
var groupMemberReadAll = '98830695-27a2-44f7-8c18-0c3ebc9698f6'

resource application 'Microsoft.Graph/applications@v1.0' = {
  uniqueName: 'bartizan'
  displayName: 'Bartizan'
  signInAudience: 'AzureADMyOrg'
  web: { redirectUris: ['${publicUrl}/oauth/callback'] }
  groupMembershipClaims: 'SecurityGroup'
  api: {
    requestedAccessTokenVersion: 2
    oauth2PermissionScopes: [
      {
        id: '6e1a1f0e-5b0b-4c86-9d55-0d6d5c0a7b01'
        value: 'mcp'
        type: 'User'
        isEnabled: true
        adminConsentDisplayName: 'Use MCP servers'
        adminConsentDescription: 'Lets the client call MCP servers through Bartizan as the signed-in user.'
      }
    ]
  }
  appRoles: [
    {
      id: '6e1a1f0e-5b0b-4c86-9d55-0d6d5c0a7b11'
      value: 'Tools.User'
      displayName: 'Tools user'
      description: 'May use the tools that everybody may use.'
      allowedMemberTypes: ['User']
      isEnabled: true
    }
    {
      id: '6e1a1f0e-5b0b-4c86-9d55-0d6d5c0a7b12'
      value: 'Tools.Admin'
      displayName: 'Tools administrator'
      description: 'May use every tool.'
      allowedMemberTypes: ['User']
      isEnabled: true
    }
    {
      id: '6e1a1f0e-5b0b-4c86-9d55-0d6d5c0a7b13'
      value: 'Tools.Worker'
      displayName: 'Worker'
      description: 'A program that calls tools without a user.'
      allowedMemberTypes: ['Application']
      isEnabled: true
    }
  ]
  optionalClaims: {
    accessToken: [{ name: 'idtyp' }, { name: 'xms_cc' }]
    idToken: []
    saml2Token: []
  }
  requiredResourceAccess: [
    {
      resourceAppId: graphId
      resourceAccess: [
        { id: userReadAll, type: 'Role' }
        { id: groupMemberReadAll, type: 'Role' }
      ]
    }
  ]
  keyCredentials: empty(certificate)
    ? []
    : [{ displayName: 'bartizan', usage: 'Verify', type: 'AsymmetricX509Cert', key: certificate }]
}

resource principal 'Microsoft.Graph/servicePrincipals@v1.0' = {
  appId: application.appId
  appRoleAssignmentRequired: true
}

resource federated 'Microsoft.Graph/applications/federatedIdentityCredentials@v1.0' = if (!empty(machine)) {
  name: '${application.uniqueName}/managed-identity'
  audiences: ['api://AzureADTokenExchange']
  issuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
  subject: machine
}

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: graphId
}

resource readUsers 'Microsoft.Graph/appRoleAssignedTo@v1.0' = {
  appRoleId: userReadAll
  principalId: principal.id
  resourceId: graph.id
}

resource readGroups 'Microsoft.Graph/appRoleAssignedTo@v1.0' = {
  appRoleId: groupMemberReadAll
  principalId: principal.id
  resourceId: graph.id
}

output clientId string = application.appId
output tenantId string = tenant().tenantId
